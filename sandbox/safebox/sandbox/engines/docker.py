"""The Docker engine: two containers for each sandbox, and no network.

The *holder* has a network namespace with nothing but `lo`; it binds the gateway ports, hands them to us and sleeps. The
*agent* joins the holder's network and process namespaces. Because the holder is process 1 of that process namespace,
the kernel ends everything the agent started the moment the holder ends, and the holder ends when its owner does.
"""

import contextlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from safebox.sandbox.cgroup import Counters, counters_of
from safebox.sandbox.engines import LAST_OUTPUT_BYTES, Found, check_attached
from safebox.sandbox.engines.docker_api import Daemon, NotThereError
from safebox.sandbox.engines.docker_attach import Attached
from safebox.sandbox.engines.docker_config import LABEL, OWNER, ROLE, UNTIL, agent_config, holder_config
from safebox.sandbox.errors import SandboxError
from safebox.sandbox.image import IMAGE_ENV, archive
from safebox.sandbox.netns import Handover
from safebox.sandbox.owner import owner_is_dead
from safebox.sandbox.spec import MIB, Exit, SandboxSpec, check_readable_by_others
from safebox.sandbox.watch import Watch

HOLDER_IMAGE = "safebox/base"
"""The image with a Python for the holder; the agent's own image needs none."""
TREE = "safebox.tree"
_KILLED = 137


class DockerEngine:
    """Sandboxes on a Docker Engine that runs on this kernel."""

    name = "docker"

    def __init__(self, holder_image: str = HOLDER_IMAGE) -> None:
        """Connect to nothing yet."""
        self._daemon = Daemon()
        self._holder_image = holder_image

    @property
    def daemon(self) -> Daemon:
        """The connection, for the image builder."""
        return self._daemon

    def available(self) -> str | None:
        """None when an engine on this kernel answers."""
        try:
            kernel = self._daemon.version().get("KernelVersion", "")
        except SandboxError as error:
            return error.cause
        if kernel != os.uname().release:
            return f"the engine runs on another kernel ({kernel}), so sockets can't be handed over"
        return None

    def not_isolated(self) -> tuple[str, ...]:
        """What containers share with their host."""
        return (
            "The agent runs on the host's own kernel: a flaw in one of the allowed system calls is a way out.",
            "Programs inside can see how many CPUs and how much memory the host has, and its kernel's version.",
            "Disk reads of the image and of the agent's folder are not limited in speed.",
        )

    def create(self, spec: SandboxSpec) -> "DockerSandbox":
        """Make the holder, take its listeners, and make the agent's container beside it, not started.

        Raises:
            SandboxError: an image is missing, the engine refuses, or the handover fails. Nothing is left then.
        """
        check_readable_by_others(spec)
        sandbox = DockerSandbox(self._daemon, spec)
        try:
            sandbox.make(self._holder_image)
        except BaseException as error:
            sandbox.remove()
            if isinstance(error, NotThereError):
                raise SandboxError(error.cause, "safebox image build", "sandbox.no_image") from error
            raise
        return sandbox

    def reap(self) -> list[str]:
        """Remove containers whose owner is dead, and detached ones past their end."""
        removed: list[str] = []
        for each in self._daemon.list([OWNER]):
            labels = self._daemon.labels_of(each)
            until = labels.get(UNTIL)
            over = owner_is_dead(labels[OWNER]) if until is None else time.time() > float(until) + KEEP_SECONDS
            if over:
                with contextlib.suppress(NotThereError):
                    self._daemon.remove(each["Id"])
                    removed.append(str(each["Id"]))
        return removed

    def image_digest(self, image: str) -> str | None:
        """The id of the image, which is a digest of its configuration and layers."""
        answer = self._daemon.image(image)
        return None if answer is None else str(answer["Id"])

    def tree_digest(self, name: str) -> str | None:
        """The digest of the ingredients this image was built from, kept in a label."""
        return self._daemon.image_labels(name).get(TREE)

    def take_tree(self, name: str, digest: str, tree: Path) -> None:
        """Import the tree as an image of one layer."""
        environment = " ".join(f"{key}={value}" for key, value in IMAGE_ENV.items())
        changes = [f"LABEL {TREE}={digest}", f"ENV {environment}", "WORKDIR /work"]
        with tempfile.TemporaryFile() as tar:
            archive(tree, tar)
            tar.seek(0)
            self._daemon.import_image(iter(lambda: tar.read(MIB), b""), name, changes)

    def pull(self, name: str, source: str) -> None:
        """Fetch an image from its registry and give it the name."""
        self._daemon.pull(source, name)

    def find(self, label: str, value: str) -> tuple[Found, ...]:
        """Sandboxes that carry this label, found among the containers themselves."""
        containers = self._daemon.list([f"{LABEL}{label}={value}", f"{ROLE}=agent"])
        found: list[Found] = []
        for each in containers:
            with contextlib.suppress(NotThereError):
                found.append(_found(self._daemon.inspect(each["Id"])))
        return tuple(found)

    def look(self, sandbox_id: str) -> Found | None:
        """One sandbox by its id; a container that isn't ours is none."""
        try:
            container = self._daemon.inspect(sandbox_id)
        except NotThereError:
            return None
        labels: dict[str, str] = container["Config"]["Labels"] or {}
        return _found(container) if labels.get(ROLE) == "agent" else None

    def output(self, sandbox_id: str) -> bytes:
        """The last 64 KiB the engine kept."""
        try:
            return b"" if self.look(sandbox_id) is None else self._daemon.output(sandbox_id)[-LAST_OUTPUT_BYTES:]
        except NotThereError:
            return b""

    def _holder_of(self, sandbox_id: str) -> str:
        return str(self._daemon.inspect(sandbox_id)["HostConfig"]["NetworkMode"]).removeprefix("container:")

    def stop(self, sandbox_id: str) -> None:
        """SIGKILL to the agent's container, which stays to be asked about; one that isn't ours is left alone."""
        found = self.look(sandbox_id)
        if found is not None and found.state == "running":
            with contextlib.suppress(NotThereError):
                self._daemon.kill(sandbox_id)
                self._daemon.wait(sandbox_id)
        if found is not None:
            with contextlib.suppress(NotThereError):
                self._daemon.kill(self._holder_of(sandbox_id))

    def discard(self, sandbox_id: str) -> None:
        """Remove the agent's container and its holder; a container that isn't ours is left alone."""
        if self.look(sandbox_id) is None:
            return
        try:
            holder = self._holder_of(sandbox_id)
        except NotThereError:
            return
        for each in (sandbox_id, holder):
            with contextlib.suppress(NotThereError):
                self._daemon.remove(each)


KEEP_SECONDS = 24 * 3600
"""How long the output of a detached sandbox can still be asked for after its end."""


class DockerSandbox:
    """One sandbox on Docker: a holder, an agent's container, and the threads that watch it."""

    def __init__(self, daemon: Daemon, spec: SandboxSpec) -> None:
        """Make nothing yet; `make` does."""
        self._daemon = daemon
        self._spec = spec
        self._holder = ""
        self._agent = ""
        self._input: Path | None = None
        self._owner_end: socket.socket | None = None
        self._listeners: tuple[socket.socket, ...] = ()
        self._watch = Watch(spec.limits, self._stop)
        self._done = threading.Event()
        self._exit: Exit | None = None
        self._threads: list[threading.Thread] = []

    @property
    def id(self) -> str:
        """The id of the agent's container."""
        return self._agent

    @property
    def listeners(self) -> tuple[socket.socket, ...]:
        """The sockets the holder bound, in the order of `spec.ports`."""
        return self._listeners

    def make(self, holder_image: str) -> None:
        """Make the holder and the agent's container at the same time; the holder's start is the slow part."""
        self._input = _write_input(self._spec.input)
        with Handover() as handover, ThreadPoolExecutor(1) as pool:
            folder = None if self._spec.detached else handover.folder
            self._holder = self._daemon.create(holder_config(self._spec, holder_image, folder))
            agent = pool.submit(self._make_agent)
            try:
                self._daemon.start(self._holder)
                if folder is not None:
                    self._owner_end, self._listeners = handover.receive(self._spec.ports)
            finally:
                agent.result()

    def _make_agent(self) -> None:
        self._agent = self._daemon.create(agent_config(self._spec, self._holder, self._input))

    def start(self, on_output: Callable[[bytes], None]) -> None:
        """Attach, start, and watch from threads."""
        if self._spec.detached:
            self._daemon.start(self._agent)
            _forget_input(self._input)
            return
        stream = self._daemon.attach(self._agent)
        try:
            self._daemon.start(self._agent)
        except SandboxError as error:
            stream.close()
            self._finish(Exit(127, "failed_to_start", error.cause))
            return
        finally:
            _forget_input(self._input)
        pump = threading.Thread(target=self._pump, args=(stream, on_output), daemon=True)
        self._threads = [pump, threading.Thread(target=self._look, daemon=True)]
        threading.Thread(target=self._await, args=(pump,), daemon=True).start()
        for each in self._threads:
            each.start()

    def _pump(self, stream: Attached, on_output: Callable[[bytes], None]) -> None:
        try:
            for chunk in stream:
                self._watch.pump(chunk, on_output)
        finally:
            stream.close()

    def _look(self) -> None:
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
            out_of_memory = bool(self._daemon.inspect(self._agent)["State"]["OOMKilled"])
        pump.join()
        self._finish(self._watch.verdict(code, out_of_memory=out_of_memory or self._watch.memory_kills > 0))

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
        for each in self._listeners:
            each.close()
        if self._owner_end is not None:
            self._owner_end.close()
        _forget_input(self._input)
        if self._threads and not self._done.is_set():
            self._watch.end("killed", "removed while it ran")
        for container in filter(None, (self._agent, self._holder)):
            with contextlib.suppress(NotThereError):
                self._daemon.remove(container)
        if self._threads:
            self._done.wait(GOODBYE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.remove()


GOODBYE_SECONDS = 10
"""How long the removal waits for the threads that still deliver output."""


def _write_input(data: bytes | None) -> Path | None:
    """The input as a file the agent's uid can read, in a folder only we can reach."""
    if data is None:
        return None
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


def _found(container: dict[str, Any]) -> Found:
    state = container["State"]
    running = bool(state["Running"])
    labels: dict[str, str] = container["Config"]["Labels"] or {}
    return Found(
        id=str(container["Id"]),
        state="running" if running else "exited",
        exit_code=None if running else int(state["ExitCode"]),
        started_at=_seconds(state["StartedAt"]),
        ended_at=None if running else _seconds(state["FinishedAt"]),
        labels={key.removeprefix(LABEL): value for key, value in labels.items() if key.startswith(LABEL)},
    )


def _seconds(text: str) -> float | None:
    """Docker's RFC 3339 time with nanoseconds; the year 1 means never."""
    if text.startswith("0001-"):
        return None
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(whole + "+00:00").timestamp() + float(f"0.{fraction or 0}")
