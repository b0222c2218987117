"""`safebox approvals deny`: a signed no to a held action."""

from __future__ import annotations

from safebox.sandbox.cli.casting import AsJson, KeyFile, Named, cast_vote


def approvals_deny(hold: Named, key: KeyFile, as_json: AsJson = False) -> None:
    """Sign a no: one is enough. The action is not done, and refused for the rest of its run."""
    cast_vote(hold, key, "deny", as_json=as_json)
