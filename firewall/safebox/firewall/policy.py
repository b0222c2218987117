"""Which policy a firewall has: the engine that judges, where its bundles come from, and what is recorded of that."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from safebox.firewall.core.record import PolicyActivated
from safebox.firewall.engines.layers import describe_layers
from safebox.firewall.engines.making import choose_place
from safebox.firewall.engines.reload import Reload, ReloadingEngine
from safebox.firewall.engines.validate import Checked
from safebox.firewall.errors import CallerError, ConfigError, LedgerUnavailable
from safebox.firewall.governed import Governed
from safebox.firewall.ledger import Ledger
from safebox.firewall.ports import Clock
from safebox.firewall.settings import Settings


class Policy:
    """The policy of one firewall: from folders that are followed, or in governed mode from signed bundles alone.

    Args:
        settings: say which.
        ledger: is told what is in force.
        clock: dates that.
        observe: is told of each attempt to bring a bundle into force.
        deadline: the context of each evaluation in this process.
        checked: what a check that began earlier found.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        clock: Clock,
        *,
        observe: Callable[[Reload], None],
        deadline: AbstractContextManager[None] | None,
        checked: Callable[[], Checked] | None,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        file = settings.governance
        self._governed = None if file is None else Governed(settings.home, file, ledger, clock)
        self.engine = ReloadingEngine(
            () if self._governed else settings.policies,
            load=self._governed.load if self._governed else None,
            observe=observe,
            place=choose_place(settings.opa, deadline),
            checked=checked,
        )

    async def note(self, bundle: str) -> None:
        """Record that a bundle is in force, unless its activation is recorded already."""
        relaxed = dict(self.engine.relaxed)
        event: PolicyActivated | None = PolicyActivated(at_ns=self._clock.now_ns(), bundle=bundle, relaxed=relaxed)
        if self._governed is not None:
            event = self._governed.note()
        if event is not None:
            with contextlib.suppress(LedgerUnavailable):
                await self._ledger.note(event)

    async def activate(self, file: str, by: str) -> dict[str, Any]:
        """Put a signed bundle in force.

        Args:
            file: it, as base64.
            by: who asks, as the kernel says.

        Raises:
            SafeboxError: if it is refused, or there is no governed mode; what was in force stays so.
        """
        if self._governed is None:
            cause = "this firewall follows its policy folders and takes no bundles"
            raise ConfigError(cause, remedy="start it with --governance FILE")
        try:
            raw = base64.b64decode(file, validate=True)
        except ValueError as error:
            raise CallerError("what was sent is no base64") from error
        return await self._governed.activate(raw, by, self.engine)

    def parts(self) -> dict[str, str]:
        """Which real part each part of the world is, and which policy is in force, in words for people."""
        parts = self._settings.parts()
        source = (
            self._governed.shown(self.engine.bundle) if self._governed else describe_layers(self._settings.policies)
        )
        parts["policy"] = f"{parts['policy']}, {source}"
        if self.engine.relaxed:
            relaxed = "; ".join(f"{path} ({reason})" for path, reason in self.engine.relaxed.items())
            parts["policy"] = f"{parts['policy']}; relaxed: {relaxed}"
        return parts
