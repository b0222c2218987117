"""`[approvals]` and the wallet's thresholds: read strictly, and told in plain words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from safebox.firewall.core.mandate import ApprovalsGrant
from safebox.firewall.core.money import Amount
from safebox.firewall.mandate.explain import explain
from safebox.firewall.mandate.file import MandateErrors, RunFile, load

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
AGENT = """[agent]
name = "payer"
command = ["true"]
purpose = "Pay."
task = "Pay."
expires = "30m"
"""
WALLET = """[wallet]
chain = "dev"
budget = "1 ETH"
per_transfer = "1 ETH"
approve_above = "0.5 ETH"
challenge_above = "0.1 ETH"
[wallet.payees]
acme = "0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF"
"""
APPROVALS = """[approvals]
group = "owners"
needed = 2
expires = "1h"
window = "90s"
"""
WHOLE = AGENT + WALLET + APPROVALS


def read(text: str) -> RunFile:
    return load(text, now=NOW, source="safebox.toml")


def test_thresholds_and_terms_are_read_exactly() -> None:
    mandate = read(WHOLE).mandate
    assert mandate.approvals == ApprovalsGrant(group="owners", needed=2, expires_s=3600, window_s=90)
    assert mandate.wallet is not None
    assert mandate.wallet.approve_above == Amount(5 * 10**17, "ETH")
    assert mandate.wallet.challenge_above == Amount(10**17, "ETH")


def test_without_them_nobody_is_asked() -> None:
    text = AGENT + WALLET.replace('approve_above = "0.5 ETH"\n', "").replace('challenge_above = "0.1 ETH"\n', "")
    mandate = read(text).mandate
    assert mandate.approvals is None
    assert mandate.wallet is not None
    assert (mandate.wallet.approve_above, mandate.wallet.challenge_above) == (None, None)
    assert not [line for line in explain(read(text)).rails[0].may_not if "before" in line]


def test_a_window_is_needed_only_where_silence_may_pass() -> None:
    text = WHOLE.replace('window = "90s"\n', "").replace('challenge_above = "0.1 ETH"\n', "")
    approvals = read(text).mandate.approvals
    assert approvals is not None
    assert approvals.window_s is None


@pytest.mark.parametrize(
    ("before", "after", "line", "mistake"),
    [
        (APPROVALS, "", 11, "approve_above: nobody is named"),
        (APPROVALS, "", 12, "challenge_above: nobody is named"),
        ('window = "90s"\n', "", 12, "challenge_above: no window is named"),
        ('window = "90s"', 'window = "1h"', 19, "window: it is not over before the hold expires"),
        ('window = "90s"', "window = 90", 19, "window: 90 is not accepted"),
        ('expires = "1h"', 'expires = "60d"', 18, "expires: '60d' is not accepted"),
        ('expires = "1h"\n', "", 15, "approvals: expires is missing"),
        ("needed = 2", "needed = 0", 17, "needed: 0 is not accepted"),
        ("needed = 2", "needed = 17", 17, "needed: 17 is not accepted"),
        ("needed = 2\n", "", 15, "approvals: needed is missing"),
        ('group = "owners"', 'group = "Owners"', 16, "group: 'Owners' is not accepted"),
        ('group = "owners"', 'group = "owners\\n"', 16, "group: 'owners\\n' is not accepted"),
        ('"0.1 ETH"', '"0.5 ETH"', 12, "challenge_above: 0.5 ETH is not less than approve_above"),
        ('"0.1 ETH"', '"1 USD"', 12, "challenge_above: '1 USD' is an amount of USD"),
        ("needed = 2", "needed = 2\nquorum = 3", 18, "quorum: there is no key 'quorum'"),
    ],
)
def test_a_mistake_is_named_with_its_line(before: str, after: str, line: int, mistake: str) -> None:
    with pytest.raises(MandateErrors) as found:
        read(WHOLE.replace(before, after))
    assert [problem for problem in found.value.args[0].splitlines() if f"safebox.toml:{line}: " in problem]
    assert mistake in str(found.value)


def test_it_is_told_in_plain_words() -> None:
    told = explain(read(WHOLE)).rails[0].may_not
    assert "pay more than 0.5 ETH with the fee before 2 of the group owners approve" in told
    assert "pay more than 0.1 ETH with the fee before 90 seconds in which nobody of owners says no" in told
    hour = explain(read(WHOLE.replace('"90s"', '"59m"'))).rails[0].may_not
    assert any("before 59 minutes in which" in line for line in hour)
