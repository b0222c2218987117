"""Step 7 of the pipeline: the connector does what was decided, and whatever comes of it is an outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec

from safebox.firewall.core.action import Action
from safebox.firewall.core.outcome import Outcome
from safebox.firewall.core.record import Decided
from safebox.firewall.core.tools import Tool
from safebox.firewall.errors import CallerError, EffectError, FactsUnavailable
from safebox.firewall.metrics import Metrics
from safebox.firewall.ports import Connector, Deliver
from safebox.firewall.runs import Run
from safebox.firewall.standing import MayNotAct

EFFECT_SECONDS: Final = 900
"""After this an effect is unknown: longer than any connector's own limit, so that nothing waits for ever."""


class Effects:
    """Has connectors perform. Nothing but the pipeline calls this, after the decision is durable."""

    def __init__(self, connectors: Mapping[str, Connector], metrics: Metrics) -> None:
        self._connectors = connectors
        self._metrics = metrics

    async def perform(self, run: Run, tool: Tool, action: Action, decided: Decided, deliver: Deliver | None) -> Outcome:
        """Do one thing that was allowed, if the run may still act. What isn't certainly undone is unknown."""
        allowed = msgspec.structs.replace(action, decision=decided.decision)
        try:
            run.check_effect(tool, action.caller)
            async with asyncio.timeout(EFFECT_SECONDS):
                return await self._connectors[tool.connector].perform(allowed, run.view, decided.plan, deliver)
        except TimeoutError:
            return Outcome(status="unknown", detail="the effect took too long")
        except EffectError as error:
            self._metrics.connector_error(tool.connector, error.code)
            self._metrics.failed(error)
            return Outcome(status="unknown" if error.unknown else "failed", detail=error.cause)
        except (CallerError, FactsUnavailable, MayNotAct) as error:
            return Outcome(status="failed", detail=error.cause)
