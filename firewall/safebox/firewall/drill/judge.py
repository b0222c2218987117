"""The user's own policies as an engine, once for all that is tried: checked in a child process as at every start."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from safebox.firewall.core.action import Action
from safebox.firewall.core.decision import Answer
from safebox.firewall.engines.bundle import Bundle, load_bundle
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.engines.validate import validate
from safebox.firewall.errors import PolicyUnavailable
from safebox.firewall.ports import EngineHealth


class Judge:
    """Decides by the policies in these folders, or by none if they may not come into force. An `Engine` (see `ports`).

    Args:
        folders: the base, then overlays.

    `problem` is what keeps them from coming into force; then nothing is ever allowed, as in a firewall started so.
    `close` it in the thread that made it: the machine inside may not end in another, where a collection may run.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.loaded: Bundle | None = None
        self._engine: EmbeddedEngine | None = None
        try:
            self.loaded = load_bundle(folders)
            self.problem = validate(self.loaded)
            if self.problem is None:
                self._engine = EmbeddedEngine(self.loaded)
        except PolicyUnavailable as error:
            self.problem = error.cause

    def close(self) -> None:
        """Let go of the engine."""
        self._engine = None

    @property
    def bundle(self) -> str:
        """The digest in force; empty if nothing is."""
        return self._engine.bundle if self._engine is not None else ""

    async def decide(self, document: bytes) -> Answer:
        """Judge one policy input.

        Raises:
            PolicyUnavailable: for everything that is not exactly an answer.
        """
        if self._engine is None:
            raise PolicyUnavailable(f"no policy is in force: {self.problem}", kind="missing")
        return self._engine.answer(document)

    def health(self) -> EngineHealth:
        """Whether there is a policy."""
        return EngineHealth(self._engine is not None, self.problem or f"policy {self.bundle}")


class Unwatched:
    """Lets everything be judged, and looks away. A `Watch` (see `ports`)."""

    def check(self, action: Action) -> None:
        """Go on."""

    def over(self, action: Action) -> AbstractContextManager[None]:
        """No context."""
        return nullcontext()
