"""One sandbox on Docker: a holder, an agent's container, and the threads that watch it.

What can be done at the same time is: the agent's container is made while its holder starts, and both are removed as
soon as the end is known, while the owner still tells the firewall about it.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from safebox.sandbox.cgroup import Counters, counters_of
from safebox.sandbox.engines import check_attached
from safebox.sandbox.engines.docker_api import Daemon
from safebox.sandbox.engines.docker_attach import Attached
from safebox.sandbox.engines.docker_config import agent_config
from safebox.sandbox.engines.docker_holder import Coming, Holder, remove_quietly
from safebox.sandbox.engines.docker_http import NotThereError
from safebox.sandbox.errors import SandboxError
from safebox.sandbox.spec import Exit, SandboxSpec
from safebox.sandbox.watch import LOOK_EVERY_SECONDS, Watch

_KILLED = 137
GOODBYE_SECONDS = 10
"""How long the removal waits for the threads that still deliver output."""


class DockerSandbox:
    """A sandbox of two containers. `make` it, then `start` it."""

    def __init__(self, daemon: Daemon, spec: SandboxSpec) -> None:
        """Make nothing yet."""
        self._daemon = daemon
        self._spec = spec
        self._holder: Holder | None = None
        self._agent = ""
        self._stream: Attached | None = None
        self._input: Path | None = None
        self._watch = Watch(spec.limits, self._stop)
        self._started = False
        self._done = threading.Event()
        self._exit: Exit | None = None
        self._removed = False
        self._ending: threading.Thread | None = None

    @property
    def id(self) -> str:
        """The id of the agent's container."""
        return self._agent

    @property
    def listeners(self) -> tuple[socket.socket, ...]:
        """The sockets the holder bound, in the order of `spec.ports`."""
        return () if self._holder is None else self._holder.listeners

    def make(self, coming: Coming) -> None:
        """Make the agent's container while its holder starts; from here on the holder is this sandbox's."""
        try:
            self._make_agent(coming.container())
        finally:
            self._holder = coming.holder()
            self._holder.set_clock(self._spec.limits.wall_seconds)

    def _make_agent(self, holder: str) -> None:
        self._input = _write_input(self._spec.input)
        self._agent = self._daemon.create(agent_config(self._spec, holder, self._input))
        if not self._spec.detached:
            self._stream = self._daemon.attach(self._agent)

    def start(self, on_output: Callable[[bytes], None]) -> None:
        """Start, and watch from threads."""
        if self._stream is None:
            self._daemon.start(self._agent)
            _forget_input(self._input)
            return
        try:
            self._daemon.start(self._agent)
        except SandboxError as error:
            self._stream.close()
            self._finish(Exit(127, "failed_to_start", error.cause))
            return
        finally:
            _forget_input(self._input)
        self._started = True
        pump = threading.Thread(target=self._pump, args=(self._stream, on_output), daemon=True)
        self._ending = threading.Thread(target=self._await, args=(pump,), daemon=True)
        for each in (pump, self._ending, threading.Thread(target=self._look, daemon=True)):
            each.start()

    def _pump(self, stream: Attached, on_output: Callable[[bytes], None]) -> None:
        try:
            for chunk in stream:
                self._watch.pump(chunk, on_output)
        finally:
            stream.close()

    def _look(self) -> None:
        if not self._done.wait(LOOK_EVERY_SECONDS / 2):  # many end sooner, and the engine needn't be asked
            self._watch.until(self._done, self._counters())

    def _counters(self) -> Counters:
        try:
            return counters_of(int(self._daemon.inspect(self._agent)["State"]["Pid"]) or -1)
        except SandboxError:
            return Counters(None, None)

    def _await(self, pump: threading.Thread) -> None:
        code, out_of_memory = _KILLED, False
        with contextlib.suppress(SandboxError):
            code = self._daemon.wait(self._agent)
            out_of_memory = code != 0 and bool(self._daemon.inspect(self._agent)["State"]["OOMKilled"])
        pump.join()
        self._finish(self._watch.verdict(code, out_of_memory=out_of_memory or self._watch.memory_kills > 0))
        with contextlib.suppress(SandboxError):  # whoever leaves the sandbox tries again, and is told
            self._clear()

    def _finish(self, ended: Exit) -> None:
        self._exit = ended
        self._done.set()

    def wait(self, timeout: float | None = None) -> Exit:
        """Wait for the end; all output has been delivered then."""
        check_attached(self._spec)
        if not self._done.wait(timeout) or self._exit is None:
            raise TimeoutError(f"the sandbox {self._agent[:12]} still runs")
        return self._exit

    def _stop(self) -> None:
        with contextlib.suppress(NotThereError):
            self._daemon.kill(self._agent)

    def kill(self) -> None:
        """SIGKILL to every process inside."""
        if self._agent and not self._done.is_set():
            self._watch.end("killed", "killed on request")

    def pause(self) -> None:
        """Freeze every process inside."""
        self._daemon.pause(self._agent)

    def resume(self) -> None:
        """Let them run on."""
        self._daemon.unpause(self._agent)

    def remove(self) -> None:
        """Remove both containers, the sockets and the input; may be called twice."""
        if self._started and not self._done.is_set():
            self._watch.end("killed", "removed while it ran")
        if self._ending is not None:
            self._ending.join(GOODBYE_SECONDS)
        if self._stream is not None and not self._started:
            self._stream.close()
        _forget_input(self._input)
        self._clear()
        if self._holder is not None:
            self._holder.close()

    def _clear(self) -> None:
        """Let the holder end and remove the agent's container; the listeners stay open until `remove`."""
        if self._removed:
            return
        if self._holder is not None and self._holder.owner_end is not None:
            self._holder.owner_end.close()
        if self._agent:
            remove_quietly(self._daemon, self._agent)
        if self._holder is not None and self._holder.owner_end is None:
            remove_quietly(self._daemon, self._holder.container)
        self._removed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.remove()


def _write_input(data: bytes | None) -> Path | None:
    """The input as a file the agent's uid can read, in a folder only we can reach."""
    if data is None:
        return None
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="safebox-input-"))
    path = folder / "input"
    path.write_bytes(data)
    path.chmod(0o444)
    return path


def _forget_input(path: Path | None) -> None:
    """The mount keeps the file alive inside; on the host it is gone once the sandbox runs."""
    if path is not None:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()
