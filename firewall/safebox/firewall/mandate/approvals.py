"""The section `[approvals]` of a mandate file, and what the wallet's thresholds need of it."""

from __future__ import annotations

import re
from typing import Final

from safebox.firewall.core.holds import APPROVALS_MAX, EXPIRES_MAX, GROUP
from safebox.firewall.core.mandate import ApprovalsGrant
from safebox.firewall.mandate.section import Section

_GROUP: Final = re.compile(GROUP, re.ASCII)


def approvals_grant(approvals: Section) -> ApprovalsGrant:
    """Who is asked, and how long they have."""
    grant = ApprovalsGrant(
        group=approvals.word("group", 'a group of approvers.toml, as in "owners"', _GROUP),
        needed=approvals.whole("needed", 1, APPROVALS_MAX),
        expires_s=approvals.seconds("expires", EXPIRES_MAX),
        window_s=approvals.seconds("window", EXPIRES_MAX) if "window" in approvals else None,
    )
    if grant.window_s is not None and grant.window_s >= grant.expires_s:
        approvals.wrong("window", "it is not over before the hold expires", "less than expires")
    return grant


def check_thresholds(wallet: Section, approvals: ApprovalsGrant | None) -> None:
    """Note thresholds of the wallet above which nobody would be asked."""
    for key in ("approve_above", "challenge_above"):
        if key in wallet and approvals is None:
            wallet.wrong(
                key, "nobody is named who could approve", "a section [approvals] with group, needed and expires"
            )
    if "challenge_above" in wallet and approvals is not None and approvals.window_s is None:
        wallet.wrong("challenge_above", "no window is named", "window in the section [approvals]")
