"""When to try: policies may close at night, and what is asked at a closed door says nothing about the lock."""

from __future__ import annotations

import json
from typing import Final

from safebox.firewall.core.facts import rfc3339
from safebox.firewall.core.tools import TOOLS, Caller
from safebox.firewall.core.windows import HOUR
from safebox.firewall.drill.judge import Judge
from safebox.firewall.errors import PolicyUnavailable

AHEAD: Final = 7 * 24
"""Hours that are looked at: hours are given by weekday."""
LASTS: Final = 3
"""Hours the doors should stay open: so long do the attacks take that wait for something."""
_CLOSED: Final = "hours."


async def opening(judge: Judge, now_ns: int) -> int:
    """The first moment, in steps of an hour, from which on all kinds of action are open; now, if there is none."""
    if judge.problem is not None:
        return now_ns
    kinds = sorted({(tool.kind, tool.name) for tool in TOOLS.values() if tool.caller is Caller.AGENT})
    for ahead in range(AHEAD):
        moments = [now_ns + (ahead + hour) * HOUR for hour in range(LASTS)]
        if not any([await _closed(judge, *each, at) for at in moments for each in kinds]):
            return moments[0]
    return now_ns


async def _closed(judge: Judge, kind: str, tool: str, at_ns: int) -> bool:
    action = {"tool": tool, "kind": kind, "time": rfc3339(at_ns), "caller": "agent"}
    try:
        answer = await judge.decide(json.dumps({"action": action, "run": {}, "mandate": {}, "facts": {}}).encode())
    except PolicyUnavailable:
        return False
    return any(reason.code.startswith(_CLOSED) for reason in answer.reasons)
