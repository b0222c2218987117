"""`safebox approvals approve`: a signed yes to a held action."""

from __future__ import annotations

from safebox.sandbox.cli.casting import AsJson, KeyFile, Named, cast_vote


def approvals_approve(hold: Named, key: KeyFile, as_json: AsJson = False) -> None:
    """Sign a yes to exactly this action; when enough people have, the firewall does it."""
    cast_vote(hold, key, "approve", as_json=as_json)
