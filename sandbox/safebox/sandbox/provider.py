"""Compute from the local sandbox engine: what an agent buys when no outside provider is configured.

A bought container is a sandbox like any other, without network and without gateways. It is detached: its lease is its
own clock, kept by its holder or keeper, so it ends in time even when the firewall that started it is gone.
"""

import threading
from dataclasses import dataclass
from typing import Literal

from safebox.sandbox.engines import Found, SandboxEngine
from safebox.sandbox.errors import SandboxError
from safebox.sandbox.spec import Limits, SandboxSpec

REFERENCE = "reference"
"""The label by which a purchase is found again: the buyer chooses it, and one reference means one instance."""
LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """How a bought instance is. Times are seconds since 1970; `output` is the last 64 KiB of both streams."""

    state: Literal["running", "exited", "stopped"]
    exit_code: int | None
    output: bytes
    started_at: float | None
    ended_at: float | None


class LocalCompute:
    """Rents out sandboxes of one engine. Every method may be called from any thread."""

    def __init__(self, engine: SandboxEngine, limits: Limits = LIMITS) -> None:
        """Use `engine`; each instance gets `limits` but for the time, which is its lease."""
        self._engine = engine
        self._limits = limits
        self._lock = threading.Lock()

    def start(self, *, reference: str, image: str, command: tuple[str, ...], input: bytes | None, seconds: int) -> str:  # noqa: A002 - the tool's own word
        """Start one instance for `seconds`; return its id. Asked again with the same reference, it starts no second.

        Raises:
            SandboxError: the engine refuses; nothing was started then.
        """
        with self._lock:
            found = self.find(reference)
            if found is not None:
                return found
            sandbox = self._engine.create(self._spec(reference, image, command, input, seconds))
            try:
                sandbox.start(lambda _: None)
            except BaseException:
                sandbox.remove()
                raise
            return sandbox.id

    def _spec(
        self, reference: str, image: str, command: tuple[str, ...], data: bytes | None, seconds: int
    ) -> SandboxSpec:
        limits = {name: getattr(self._limits, name) for name in Limits.__slots__} | {"wall_seconds": seconds}
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
        """How the instance is now; one that was stopped, or that nobody knows, is `stopped`."""
        found = self._engine.look(instance)
        if found is None:
            return InstanceStatus("stopped", None, b"", None, None)
        return InstanceStatus(
            found.state, found.exit_code, self._engine.output(instance), found.started_at, found.ended_at
        )

    def stop(self, instance: str) -> None:
        """End the instance and remove it; does nothing when it is gone."""
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

    def image_digest(self, image: str) -> str | None:
        """What the image's name means now, as `sha256:…`."""
        return self._engine.image_digest(image)
