"""Compute from the local sandbox engine: what an agent buys when no outside provider is configured.

A bought container is a sandbox like any other, without network and without gateways. It is detached: its lease is its
own clock, kept by its holder or keeper, so it ends in time even when the firewall that started it is gone.
"""

import math
import threading
import time
from dataclasses import dataclass
from typing import Literal

from safebox.sandbox.engines import Found, SandboxEngine
from safebox.sandbox.errors import SandboxError
from safebox.sandbox.spec import Limits, SandboxSpec

REFERENCE = "reference"
"""The label by which a purchase is found again: the buyer chooses it, and one reference means one instance."""
LIMITS = Limits()
KILLED = 128 + 9
"""The exit code of what SIGKILL ended."""


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """How a bought instance is. Times are seconds since 1970; `output` is the last 64 KiB of both streams.

    `stopped` means ended from outside: on request, at the end of the lease, or by the kernel for lack of memory.
    `seconds` is how long it has run or ran, rounded up; where the end was not seen, up to the end of its lease.
    """

    state: Literal["running", "exited", "stopped"]
    exit_code: int | None
    output: str
    seconds: int
    started_at: float | None
    ended_at: float | None


class LocalCompute:
    """Rents out sandboxes of one engine. Every method may be called from any thread."""

    def __init__(self, engine: SandboxEngine, limits: Limits = LIMITS) -> None:
        """Use `engine`; each instance gets `limits` but for the time, which is its lease."""
        self._engine = engine
        self._limits = limits
        self._lock = threading.Lock()
        self._closed: set[str] = set()

    def start(
        self,
        *,
        reference: str,
        image: str,
        command: tuple[str, ...],
        input: str | bytes | None,
        seconds: int,
        digest: str | None = None,
    ) -> str:
        """Start one instance for `seconds`; return its id. Asked again with the same reference, it starts no second.

        Raises:
            SandboxError: the engine refuses, or the image is none of `digest`; nothing was started then.
        """
        data = input.encode() if isinstance(input, str) else input
        with self._lock:
            found = self.find(reference)
            if found is not None:
                return found
            if reference in self._closed:
                raise SandboxError(f"nothing starts as {reference} any more", "ask under another reference")
            if digest is not None and self.image_digest(image) != digest:
                raise SandboxError(f"{image} is not {digest} now", "ask again for what it is")
            sandbox = self._engine.create(self._spec(reference, image, command, data, seconds))
            try:
                sandbox.start(lambda _: None)
            except BaseException:
                sandbox.remove()
                raise
            return sandbox.id

    def _spec(
        self, reference: str, image: str, command: tuple[str, ...], data: bytes | None, seconds: int
    ) -> SandboxSpec:
        limits = self._limits._asdict() | {"wall_seconds": seconds}
        return SandboxSpec(
            run_id="compute",
            image=image,
            command=command,
            limits=Limits(**limits),
            labels={REFERENCE: reference},
            input=data,
            detached=True,
        )

    def status(self, instance: str) -> InstanceStatus:
        """How the instance is now.

        Raises:
            SandboxError: nobody knows it, or the engine doesn't answer: never a status that could be taken for unused.
        """
        found = self._engine.look(instance)
        if found is None:
            raise SandboxError(
                f"there is no instance {instance}", "its lease ended more than a day ago, or it never was"
            )
        text = self._engine.output(instance).decode(errors="replace")
        return InstanceStatus(_state(found), found.exit_code, text, _seconds(found), found.started_at, found.ended_at)

    def stop(self, instance: str) -> None:
        """End the instance; what it wrote and how long it ran can still be asked for. Ended already is fine."""
        self._engine.stop(instance)

    def discard(self, instance: str) -> None:
        """End the instance and forget it, its output too; gone already is fine."""
        self._engine.discard(instance)

    def find(self, reference: str) -> str | None:
        """The instance of a reference, whichever process started it.

        Raises:
            SandboxError: the engine doesn't answer, so nobody can say that there is none.
        """
        found: tuple[Found, ...] = self._engine.find(REFERENCE, reference)
        if len(found) > 1:
            raise SandboxError(f"{len(found)} instances carry the reference {reference}", "stop all but one by hand")
        return found[0].id if found else None

    def close(self, reference: str) -> str | None:
        """The instance of a reference, as `find`; if there is none, this process starts none under it any more.

        Raises:
            SandboxError: the engine doesn't answer; the reference is closed all the same.
        """
        with self._lock:
            self._closed.add(reference)
            return self.find(reference)

    def image_digest(self, image: str) -> str | None:
        """What the image's name means now, as `sha256:…`."""
        return self._engine.image_digest(image)


def _state(found: Found) -> Literal["running", "exited", "stopped"]:
    if found.state == "running":
        return "running"
    return "exited" if found.exit_code not in {None, KILLED} else "stopped"


def _seconds(found: Found) -> int:
    if found.started_at is None:
        return 0
    return max(0, math.ceil((found.ended_at or time.time()) - found.started_at))
