"""One sandbox of the bubblewrap engine: its keeper process and the threads that watch it."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from safebox.sandbox.cgroup import Counters
from safebox.sandbox.engines import check_attached
from safebox.sandbox.engines.bwrap_config import orders
from safebox.sandbox.errors import SandboxError
from safebox.sandbox.groups import Group, make_group, planned_group
from safebox.sandbox.netns import HANDOVER_SECONDS, receive_listeners
from safebox.sandbox.owner import end_process, owner_mark
from safebox.sandbox.spec import Exit, SandboxSpec
from safebox.sandbox.watch import Watch

KEEPER = Path(__file__).parent / "keeper.py"
OUTSIDE_UIDS = 1_900_000_000
"""As root each sandbox gets a uid of its own above this: far from users, services and container ranges."""
_UID_SPAN = 1 << 24
KILL_SECONDS = 2.0
"""A keeper acts on a word at once; one that doesn't is killed itself."""
_KILLED = 137
_UNFINISHED = "+"
"""In the name of a folder whose state isn't written yet: no sandbox's id has it, and its maker is named between two."""
_READ_BYTES = 65536


class BwrapSandbox:
    """Namespaces held by a keeper process, with or without bubblewrap running in them."""

    def __init__(self, spec: SandboxSpec, folder: Path) -> None:
        """Make nothing yet; `make` does."""
        self._spec = spec
        self._folder = folder
        self._group: Group | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._output = -1
        self._listeners: tuple[socket.socket, ...] = ()
        self._watch = Watch(spec.limits, self._stop)
        self._done = threading.Event()
        self._exit: Exit | None = None
        self._threads: list[threading.Thread] = []
        self._first = b""
        self._mark = ""

    @property
    def id(self) -> str:
        """The name of the sandbox's state folder."""
        return self._folder.name

    @property
    def listeners(self) -> tuple[socket.socket, ...]:
        """The sockets the keeper bound, in the order of `spec.ports`."""
        return self._listeners

    def make(self, tree: Path, bwrap: str) -> None:
        """Start the keeper and take what it hands over."""
        self._make_folder()
        self._group = make_group(self.id, self._spec.limits)
        groups = None if self._group is None else self._group.procs
        outside = OUTSIDE_UIDS + secrets.randbelow(_UID_SPAN) if os.geteuid() == 0 else None
        config = orders(self._spec, tree, bwrap, groups, outside)
        with contextlib.ExitStack() as files:
            kept: list[int] = []
            if self._spec.detached:
                for name in ("output", "report"):
                    file = files.enter_context((self._folder / name).open("w+b"))
                    kept.append(file.fileno())
                config["output"], config["state"] = kept
            self._spawn(kept)
        control = self._control
        assert control is not None  # noqa: S101 - `_spawn` made it
        control.settimeout(HANDOVER_SECONDS)
        try:
            control.sendall(json.dumps(config).encode() + b"\n")
            self._mark = owner_mark(_keeper_pid(control))
            self._write_state(self._mark, self._group, self._folder)
            if self._spec.detached and self._keeper is not None:
                self._keeper.wait()  # the process we started left the keeper on its own
            self._listeners = _take(control, self._spec.ports)
        except OSError as error:
            said = self._last_words()
            cause = f"the keeper did not report: {error} {said}".rstrip()
            raise SandboxError(cause, "try again", "sandbox.handover_failed") from error
        control.settimeout(None)

    def _make_folder(self) -> None:
        """With its state in it from the first moment on, so that whoever dies here leaves nothing nobody can name."""
        unfinished = self._folder.with_name(f"{_UNFINISHED}{owner_mark()}{_UNFINISHED}{self.id}")
        unfinished.mkdir(mode=0o700)
        self._write_state("", planned_group(self.id), unfinished)
        unfinished.rename(self._folder)

    def _spawn(self, kept: list[int]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._output, writer = os.pipe()
        with theirs:
            try:
                self._keeper = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(KEEPER)],
                    stdin=theirs.fileno(),
                    stdout=writer,
                    stderr=writer,
                    pass_fds=kept,
                    env={"PATH": "/usr/bin:/bin"},
                    cwd="/",
                    start_new_session=True,
                )
            finally:
                os.close(writer)

    def _last_words(self) -> str:
        """What a keeper that ended before its time wrote to its standard error."""
        assert self._keeper is not None  # noqa: S101
        self._keeper.kill()
        self._keeper.wait()
        return os.read(self._output, _READ_BYTES).decode(errors="replace")[-500:]

    def _write_state(self, keeper: str, group: Group | None, folder: Path) -> None:
        until = time.time() + self._spec.limits.wall_seconds if self._spec.detached else None
        state: dict[str, Any] = {
            "run": self._spec.run_id,
            "labels": dict(self._spec.labels),
            "owner": owner_mark(),
            "keeper": keeper,
            "made": time.time(),
            "until": until,
            "groups": [] if group is None else [str(each) for each in group.folders],
        }
        scratch = folder / "state.new"
        scratch.write_text(json.dumps(state), encoding="utf-8")
        scratch.replace(folder / "state")

    def start(self, on_output: Callable[[bytes], None]) -> None:
        """Give the keeper the word, and watch from threads."""
        assert self._control is not None  # noqa: S101 - a sandbox that was made has it
        self._control.sendall(b"G")
        if self._spec.detached:
            self._let_go()
            return
        pump = threading.Thread(target=self._pump, args=(on_output,), daemon=True)
        await_end = threading.Thread(target=self._await, args=(pump,), daemon=True)
        look = threading.Thread(target=self._look, daemon=True)
        self._threads = [pump, await_end, look]
        for each in self._threads:
            each.start()

    def _let_go(self) -> None:
        """The keeper runs it; from now on it is found by its state folder."""
        assert self._control is not None  # noqa: S101
        answer = self._control.recv(4096)
        if answer[:1] != b"S":
            raise SandboxError(f"the sandbox did not start: {answer.decode(errors='replace')}", "try again")
        self._control.close()
        os.close(self._output)
        self._control, self._output = None, -1

    def _pump(self, on_output: Callable[[bytes], None]) -> None:
        while chunk := os.read(self._output, _READ_BYTES):
            self._first = (self._first + chunk)[:256] if len(self._first) < 256 else self._first  # noqa: PLR2004
            self._watch.pump(chunk, on_output)

    def _look(self) -> None:
        counters = Counters(None, None) if self._group is None else self._group.counters
        self._watch.until(self._done, counters)

    def _await(self, pump: threading.Thread) -> None:
        assert self._control is not None  # noqa: S101
        data = b""
        with contextlib.suppress(OSError):
            while chunk := self._control.recv(4096):
                data += chunk
        code = int(data.partition(b"X")[2] or _KILLED)
        pump.join()
        kills = 0 if self._group is None else self._group.counters.memory_kills()
        ended = self._watch.verdict(code, out_of_memory=kills > 0)
        if ended.reason == "exited" and code == 1 and self._first.startswith(b"bwrap: "):
            ended = Exit(127, "failed_to_start", self._first.decode(errors="replace").strip())
        self._exit = ended
        self._done.set()

    def wait(self, timeout: float | None = None) -> Exit:
        """Wait for the end; all output has been delivered then."""
        check_attached(self._spec)
        if not self._done.wait(timeout) or self._exit is None:
            raise TimeoutError(f"the sandbox {self.id} still runs")
        return self._exit

    def _stop(self) -> None:
        """Let the keeper end bubblewrap; end the keeper itself when it doesn't."""
        with contextlib.suppress(OSError):
            self.resume()
        with contextlib.suppress(OSError):
            if self._control is not None:
                self._control.send(b"K")
        threading.Timer(KILL_SECONDS, self._end_keeper).start()

    def _end_keeper(self) -> None:
        if self._keeper is not None and not self._done.is_set():
            self._keeper.kill()

    def kill(self) -> None:
        """SIGKILL to every process inside."""
        if self._threads and not self._done.is_set():
            self._watch.end("killed", "killed on request")

    def pause(self) -> None:
        """Freeze every process inside."""
        if self._group is not None:
            self._group.freeze(frozen=True)
        else:
            self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let them run on."""
        if self._group is not None:
            self._group.freeze(frozen=False)
        else:
            self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        """Every descendant of the keeper, again until no new one turns up."""
        assert self._keeper is not None  # noqa: S101
        seen: set[int] = set()
        while fresh := set(_descendants(self._keeper.pid)) - seen:
            seen |= fresh
            for pid in fresh:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def remove(self) -> None:
        """End the keeper and everything under it; remove the folder and the control groups."""
        for each in self._listeners:
            each.close()
        if self._threads and not self._done.is_set():
            self._watch.end("killed", "removed while it ran")
            self._done.wait(KILL_SECONDS)
        self._end_processes()
        if self._output >= 0:
            os.close(self._output)
            self._output = -1
        if self._spec.detached and self._mark:
            end_process(self._mark)
        if self._group is not None:
            self._group.remove()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end_processes(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._keeper is not None:
            self._keeper.kill()
            self._keeper.wait()
        if self._threads:
            self._done.wait(KILL_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.remove()


def is_unfinished(name: str) -> bool:
    """Whether a folder of this name is still being made, or never was finished."""
    return name.startswith(_UNFINISHED)


def maker_of(name: str) -> str:
    """The mark of the process that makes an unfinished folder."""
    return name.split(_UNFINISHED)[1]


def _keeper_pid(control: socket.socket) -> int:
    """The first line from the keeper; a detached one is a child of the process we started."""
    line = b""
    while not line.endswith(b"\n"):
        byte = control.recv(1)
        if not byte:
            raise OSError("it ended at once")
        line += byte
    return int(line[1:])


def _take(control: socket.socket, ports: tuple[int, ...]) -> tuple[socket.socket, ...]:
    """The listeners, or the keeper's own words why there are none."""
    first = control.recv(1, socket.MSG_PEEK)
    if first == b"E":
        raise SandboxError(
            f"the sandbox could not be made: {control.recv(4096)[1:].decode(errors='replace')}",
            "check that this user may make user namespaces: unshare -U true",
            "sandbox.refused_by_kernel",
        )
    return receive_listeners(control, ports)


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text(encoding="ascii").split():
                found += [int(child), *_descendants(int(child))]
    return found
