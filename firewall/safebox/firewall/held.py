"""What people are shown of a hold: briefly in a list, or all of it."""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec

from safebox.firewall.core.books import RunBook
from safebox.firewall.core.holds import Hold

TEXT_MAX: Final = 400
"""Characters of one text in a list; who decides reads the whole."""


def state(hold: Hold, now: int) -> str:
    """In a word, what a hold has come to."""
    if hold.used is not None:
        return "denied" if not hold.used.allowed else "doing" if hold.outcome is None else hold.outcome.status
    return hold.closed or ("open" if hold.is_open(now) else "expired")


def brief(book: RunBook, hold: Hold, now: int) -> dict[str, Any]:
    """One line's worth: who asks for what, and what is missing."""
    held, facts = hold.decided, msgspec.json.decode(hold.decided.facts)
    asked = {
        "tool": held.tool,
        "action": {"args": _cut(msgspec.json.decode(held.action)["args"])},
        "facts": {"payee": facts["payee"]},
    }
    return {
        "hold": hold.id,
        "state": state(hold, now),
        "run": held.run,
        "agent": book.mandate.agent,
        "asked": asked,
        "reasons": msgspec.to_builtins(held.answer.reasons),
        "group": hold.terms.group,
        "needed": hold.terms.needed,
        "window_s": hold.terms.window_s,
        "since_ns": held.at_ns,
        "passes_ns": hold.passes_ns,
        "expires_ns": hold.expires_ns,
        "approved_by": sorted(hold.votes),
        "refused_by": hold.refused_by.approver if hold.refused_by else None,
    }


def whole(book: RunBook, hold: Hold, now: int) -> dict[str, Any]:
    """All of it: the action as it would be done, what was known, and what an approver's signature is about."""
    return brief(book, hold, now) | {
        "asked": _plain(hold.decided),
        "purpose": book.mandate.purpose,
        "digest": hold.decided.digest,
        "bundle": hold.decided.bundle,
        "votes": [_plain(vote) for vote in (*hold.votes.values(), hold.refused_by) if vote is not None],
        "used": None if hold.used is None else _plain(hold.used),
        "outcome": None if hold.outcome is None else _plain(hold.outcome),
    }


def _plain(event: msgspec.Struct) -> Any:
    return msgspec.to_builtins(event, enc_hook=_as_json)


def _as_json(value: Any) -> Any:
    return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else str(value)


def _cut(value: object) -> object:
    if isinstance(value, str):
        return value if len(value) <= TEXT_MAX else value[:TEXT_MAX] + "…"
    if isinstance(value, dict):
        return {key: _cut(item) for key, item in cast("dict[str, object]", value).items()}
    return [_cut(item) for item in cast("list[object]", value)] if isinstance(value, list) else value
