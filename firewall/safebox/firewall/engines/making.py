"""Where engines are made of bundles: in this process, or on an OPA server."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from safebox.firewall.engines.bundle import Bundle
from safebox.firewall.engines.embedded import EmbeddedEngine, restore_program
from safebox.firewall.ports import Engine


class Place(Protocol):
    """Makes engines of bundles that passed `validate`, one after the other; only the last one made is asked."""

    async def make(self, bundle: Bundle, program: bytes | None = None) -> Engine:
        """Make an engine.

        Args:
            bundle: judges.
            program: it as it was compiled before.

        Raises:
            PolicyUnavailable: if this bundle can't be used here; the engine made before still can.
        """
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


class InProcess:
    """Makes embedded engines, for the thread it is used in.

    Args:
        deadline: the context of each evaluation; ends the process if that doesn't come back.
    """

    def __init__(self, deadline: AbstractContextManager[None] | None = None) -> None:
        self._deadline = deadline

    async def make(self, bundle: Bundle, program: bytes | None = None) -> EmbeddedEngine:
        """Take the program, or compile the bundle. See `Place`."""
        return EmbeddedEngine(bundle, self._deadline, program=None if program is None else restore_program(program))

    async def close(self) -> None:
        """Nothing is held."""


def choose_place(opa: str | None, deadline: AbstractContextManager[None] | None) -> Place:
    """Where policy is evaluated: on the OPA server at this address, or in this process if there is none.

    Raises:
        ConfigError: if that is no address.
    """
    if opa is None:
        return InProcess(deadline)
    from safebox.firewall.engines.opa import OpaPlace  # not everybody's: an HTTP client takes its time to load

    return OpaPlace(opa)
