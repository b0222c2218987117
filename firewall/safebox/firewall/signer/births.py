"""Which children the ledger allows: a run that says it is somebody's child is one only if its parent's allow names it.

How it can be attacked, and how it fails:
- a start that somebody wrote without an allow, or for another run, parent or mandate than the allow names: no child;
- one allow for two children, or one that is over: its first child, its outcome and its parent's end each use it up.
"""

from __future__ import annotations

from typing import Final

import msgspec

from safebox.firewall.core.kinship import SPAWN
from safebox.firewall.core.mandate import document_digest

MARK: Final = f'"tool":"{SPAWN}"'.encode()
"""What a record about a birth has in it; the encoder writes it so."""


class _Plan(msgspec.Struct, frozen=True):
    run: str
    mandate: str


class _Verdict(msgspec.Struct, frozen=True):
    verdict: str


class _Decided(msgspec.Struct, frozen=True):
    run: str
    tool: str
    action_id: str
    answer: _Verdict
    plan: msgspec.Raw


class _Settled(msgspec.Struct, frozen=True):
    run: str
    tool: str
    action_id: str
    status: str


class Births:
    """The allows of children that have not begun."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, _Plan]] = {}

    def decided(self, body: bytes) -> None:
        """Take a decision into account.

        Raises:
            msgspec.DecodeError: if it is none.
        """
        event = _DECIDED.decode(body)
        if event.tool != SPAWN or event.answer.verdict != "allow":
            return
        waiting = self._waiting.setdefault(event.run, {})
        plan = _PLAN.decode(event.plan)
        if event.action_id in waiting:  # twice is one too many: neither counts
            del waiting[event.action_id]
        else:
            waiting[event.action_id] = plan

    def settled(self, body: bytes) -> None:
        """Take an outcome into account; one that is unknown may still become a child.

        Raises:
            msgspec.DecodeError: if it is none.
        """
        event = _SETTLED.decode(body)
        if event.tool == SPAWN and event.status != "unknown":
            self._waiting.get(event.run, {}).pop(event.action_id, None)

    def ended(self, parent: str) -> None:
        """Forget what an ended run was allowed."""
        self._waiting.pop(parent, None)

    def named(self, parent: str, action: str | None, run: str, mandate: bytes) -> bool:
        """Whether an allow of the parent names just this child, which uses the allow up.

        Args:
            parent: whose child it says it is.
            action: what it says it came of.
            run: its name.
            mandate: its mandate, as it is recorded.
        """
        plan = self._waiting.get(parent, {}).pop(action or "", None)
        return plan is not None and (plan.run, plan.mandate) == (run, document_digest(mandate))


_DECIDED: Final = msgspec.json.Decoder(_Decided)
_SETTLED: Final = msgspec.json.Decoder(_Settled)
_PLAN: Final = msgspec.json.Decoder(_Plan)
