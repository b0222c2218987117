"""`facts.objective`: whether what a run or a model is told to want is the agent's own money, survival or copies."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, cast

from safebox.firewall.behaviour.objective import TEXT_MAX, Finding, find_goals
from safebox.firewall.core.arguments import Chat, StartRun
from safebox.firewall.core.lineage import Spawn
from safebox.firewall.core.mandate import Mandate

TEXTS_KEPT: Final = 64
"""An agent sends the same instructions with each prompt."""
_TELLING: Final = frozenset({"system", "developer"})
"""Roles that say what is wanted; what users and tools say is data."""


def objective_facts(args: Any, mandate: Mandate, child: str = "") -> dict[str, Any] | None:
    """What a launch, a child or an inference makes the goal; None for what sets none.

    Args:
        args: what is asked for.
        mandate: of the run that would begin, or that asks.
        child: purpose and task of a child, read from its own mandate.
    """
    match args:
        case StartRun():
            text = f"{mandate.purpose}\n{args.task}"
        case Spawn():
            text = "\n".join([child, *args.command, args.input or ""])
        case Chat():
            text = "\n".join(_told(args.request.get("messages")))
        case _:
            return None
    found = _goals(text[:TEXT_MAX])
    return {
        "goals": sorted({finding.goal for finding in found}),
        "evidence": [finding.text for finding in found],
        "partial": len(text) > TEXT_MAX,
    }


@lru_cache(maxsize=TEXTS_KEPT)
def _goals(text: str) -> tuple[Finding, ...]:
    return find_goals(text)


def _told(messages: object) -> Iterator[str]:
    """The instructions among messages; without any, the first message."""
    found = [cast("dict[str, Any]", each) for each in _items(messages) if isinstance(each, dict)]
    telling = [message for message in found if message.get("role") in _TELLING]
    for message in telling or found[:1]:
        yield from _texts(message.get("content"))


def _texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    for part in _items(content):
        if isinstance(part, dict):
            text = cast("dict[str, Any]", part).get("text")
            if isinstance(text, str):
                yield text


def _items(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []
