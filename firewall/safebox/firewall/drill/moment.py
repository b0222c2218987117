"""When to try: policies may close at night, and what is asked at a closed door says nothing about the lock."""

from __future__ import annotations

import json
from typing import Final

from safebox.firewall.core.facts import rfc3339
from safebox.firewall.core.mandate import Mandate
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.core.windows import HOUR
from safebox.firewall.drill.judge import Judge
from safebox.firewall.errors import PolicyUnavailable

AHEAD: Final = 7 * 24
"""Hours that are looked at: hours are given by weekday."""
LASTS: Final = 3
"""Hours the doors should stay open: so long do the attacks take that wait for something."""

_TOOLS: Final = {
    "wallet": "wallet.transfer",
    "mail": "email.send",
    "compute": "compute.start",
    "inference": "inference.chat",
}
"""What is tried most under each section of a mandate."""

Codes = frozenset[str]


async def opening(judge: Judge, mandate: Mandate, now_ns: int) -> int:
    """Now, or the first hour at whose start as many granted tools are open as ever in a week.

    A tool is open when policy has no reason against it that it hasn't at every other hour, too.
    """
    if judge.problem is not None:
        return now_ns
    agent, tools = mandate.agent, [tool for section, tool in _TOOLS.items() if getattr(mandate, section) is not None]
    moments = [now_ns, *(now_ns - now_ns % HOUR + ahead * HOUR for ahead in range(1, AHEAD + LASTS))]
    against = {tool: [await _against(judge, agent, tool, at) for at in moments] for tool in tools}
    always = {tool: frozenset[str].intersection(*codes) for tool, codes in against.items()}
    tools_open = [sum(against[tool][hour] == always[tool] for tool in tools) for hour in range(AHEAD + LASTS)]
    scores = [tools_open[hour : hour + LASTS] for hour in range(AHEAD)]
    return moments[scores.index(max(scores))]


async def _against(judge: Judge, agent: str, tool: str, at_ns: int) -> Codes:
    """The codes of what speaks against a tool at a moment, whatever else is asked."""
    action = {"tool": tool, "kind": TOOLS[tool].kind, "time": rfc3339(at_ns), "caller": "agent"}
    document = {"action": action, "run": {"agent": agent}, "mandate": {}, "facts": {}}
    try:
        return frozenset(reason.code for reason in (await judge.decide(json.dumps(document).encode())).reasons)
    except PolicyUnavailable:
        return frozenset()
