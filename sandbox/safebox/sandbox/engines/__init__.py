"""Sandbox engines: one port, two real adapters (Docker and bubblewrap).

The rest of safebox sees only the two protocols here; `tests/contracts/test_sandbox_engine_contract.py` holds every
engine to the same promises.
"""

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Protocol, Self, runtime_checkable

from safebox.sandbox.errors import SandboxError
from safebox.sandbox.spec import Exit, SandboxSpec

LAST_OUTPUT_BYTES = 64 * 1024
"""What is kept of a detached sandbox's output for whoever asks later."""


class Found(NamedTuple):
    """A sandbox that exists, whoever made it. Times are seconds since 1970."""

    id: str
    state: Literal["running", "exited"]
    exit_code: int | None
    started_at: float | None
    ended_at: float | None
    labels: Mapping[str, str]


class Sandbox(Protocol):
    """One sandbox: made, not yet started. Leaving the `with` block removes it, whatever happened."""

    @property
    def id(self) -> str:
        """The engine's own name for it."""
        ...

    @property
    def listeners(self) -> tuple[socket.socket, ...]:
        """Listening sockets inside the sandbox's network namespace, in the order of `spec.ports`."""
        ...

    def start(self, on_output: Callable[[bytes], None]) -> None:
        """Start the command; `on_output` gets stdout and stderr as they come, on a thread of the engine.

        A detached sandbox is let go: `on_output` is never called, `SandboxEngine.find` and `output` tell of it.
        """
        ...

    def wait(self, timeout: float | None = None) -> Exit:
        """Wait for the end (seconds); all output has been delivered then.

        Raises:
            TimeoutError: it still runs.
            SandboxError: it is detached, so nobody here knows.
        """
        ...

    def kill(self) -> None:
        """End every process inside at once; does nothing when it has ended."""
        ...

    def pause(self) -> None:
        """Stop every process inside from running until `resume`."""
        ...

    def resume(self) -> None:
        """Undo `pause`."""
        ...

    def remove(self) -> None:
        """End it and leave nothing of it behind; may be called twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


@runtime_checkable
class SandboxEngine(Protocol):
    """Makes sandboxes. Every method may be called from any thread."""

    @property
    def name(self) -> str:
        """`docker` or `bwrap`."""
        ...

    def available(self) -> str | None:
        """None when the engine can be used here, else why not."""
        ...

    def not_isolated(self) -> tuple[str, ...]:
        """What this engine does not isolate on this host, in plain sentences."""
        ...

    def shared(self) -> tuple[str, ...]:
        """The same in a few words each, for a line that is shown with every run."""
        ...

    def prepare(self, ports: tuple[int, ...]) -> None:
        """Begin with what a sandbox with these ports will need whatever else it is; the next `create` uses it."""
        ...

    def release(self) -> None:
        """Let go of what was prepared and not used."""
        ...

    def create(self, spec: SandboxSpec) -> Sandbox:
        """Make everything but the agent's own process.

        Raises:
            SandboxError: it can't be made as strong as the spec demands; nothing is left behind then.
        """
        ...

    def reap(self) -> list[str]:
        """Remove what dead owners left, and detached sandboxes past their end; return what was removed."""
        ...

    def image_digest(self, image: str) -> str | None:
        """`sha256:…` of what the image's name means now; None when there is no such image."""
        ...

    def find(self, label: str, value: str) -> tuple[Found, ...]:
        """The sandboxes (anybody's) that carry a label of `SandboxSpec.labels` with this value."""
        ...

    def look(self, sandbox_id: str) -> Found | None:
        """The sandbox of this id as it is now; None when there is none."""
        ...

    def output(self, sandbox_id: str) -> bytes:
        """The last 64 KiB a detached sandbox wrote; empty when it is unknown."""
        ...

    def stop(self, sandbox_id: str) -> None:
        """End a detached sandbox by id, and keep what `look` and `output` tell; ended or gone already is fine."""
        ...

    def discard(self, sandbox_id: str) -> None:
        """End and remove a sandbox by id; does nothing when it is gone."""
        ...


def check_attached(spec: SandboxSpec) -> None:
    """Refuse to wait for what nobody watches.

    Raises:
        SandboxError: the sandbox is detached.
    """
    if spec.detached:
        raise SandboxError("a detached sandbox can't be waited for", "ask the engine: find(label, value)")


def choose_engine(preferred: str | None = None, pool: Path | None = None) -> SandboxEngine:
    """The engine to use: Docker when one answers, else bubblewrap; or exactly the one asked for.

    Args:
        preferred: its name.
        pool: the socket of a pool of ready holders, for an engine that can use them.

    Raises:
        SandboxError: none can be used here; the remedy is the one command to run.
    """
    makers: dict[str, Callable[[], SandboxEngine]] = {"docker": lambda: _docker(pool), "bwrap": _bwrap}
    if preferred is not None and preferred not in makers:
        raise SandboxError(f"there is no sandbox engine {preferred!r}", "use docker or bwrap", "sandbox.no_engine")
    reasons: list[str] = []
    for name in (preferred,) if preferred is not None else tuple(makers):
        engine = makers[name]()
        reason = engine.available()
        if reason is None:
            return engine
        reasons.append(f"{name}: {reason}")
    remedy = "sudo systemctl start docker" if preferred == "docker" else "sudo apt-get install bubblewrap"
    raise SandboxError("no sandbox engine can be used here (" + "; ".join(reasons) + ")", remedy, "sandbox.no_engine")


def _docker(pool: Path | None) -> SandboxEngine:
    from safebox.sandbox.engines.docker import DockerEngine

    return DockerEngine(pool)


def _bwrap() -> SandboxEngine:
    from safebox.sandbox.engines.bwrap import BwrapEngine

    return BwrapEngine()
