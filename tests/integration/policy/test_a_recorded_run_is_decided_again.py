"""Law 11 on what a real firewall recorded: bundle digest and recorded input give the same decision again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from safebox.firewall.engines.bundle import Bundle, load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.engines.layers import policy_layers
from safebox.firewall.policytools.recorded import Recorded, find_recorded, read_recorded
from safebox.firewall.policytools.replay import replay
from tests import recordings
from tests.attached import NOWHERE, Attached, letter
from tests.live import home_at, until
from tests.people import signer, write_roster

PAYEE = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
STRANGER = "0x024FD72400000000000000000000000000000001"
MANDATE = f"""
[agent]
name = "payer"
command = ["true"]
purpose = "Pay and write."
task = "Pay and write."
expires = "1h"
[mail]
recipients = ["friend@example.org"]
per_hour = 2
[wallet]
chain = "dev"
budget = "2 ETH"
per_transfer = "0.5 ETH"
challenge_above = "0.1 ETH"
[wallet.payees]
acme = "{PAYEE}"
[approvals]
group = "owners"
needed = 1
expires = "5m"
window = "1s"
"""


@pytest.fixture(scope="module")
def firewall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attached]:
    """A firewall that is up, with a run that mailed, paid, was refused, and waited out a challenge window."""
    with home_at(tmp_path_factory.mktemp("h") / "h") as home:
        write_roster(home.path, owners=[signer("alice")])  # silence passes nothing that nobody could object to
        options = [word for name in ("--model-url", "--engine") for word in (name, NOWHERE[name])]
        firewall = Attached(home, options)
        run = firewall.start(MANDATE)
        for number in range(4):
            run.mail(f"letter {number}")
        run.call("email.send", {**letter("x"), "to": ["stranger@example.org"]})
        run.call("wallet.balance", {})
        for to, amount in ((PAYEE, "0.01 ETH"), (PAYEE, "0.7 ETH"), (STRANGER, "0.01 ETH"), (PAYEE, "0.2 ETH")):
            run.call("wallet.transfer", {"to": to, "amount": amount})
        until(lambda: any(each.hold for each in read_recorded(home.path)), "the hold passes")
        yield firewall
        firewall.close()


@pytest.fixture(scope="module")
def decisions(firewall: Attached) -> list[Recorded]:
    return list(read_recorded(firewall.home.path))


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(policy_layers([]))


def test_every_decision_is_made_again_by_the_bundle_it_names(decisions: list[Recorded], bundle: Bundle) -> None:
    engine = EmbeddedEngine(bundle)
    assert {each.answer.verdict for each in decisions} == {"allow", "deny", "hold"}
    assert {"wallet.fund", "wallet.transfer", "wallet.balance", "email.send"} <= {each.tool for each in decisions}
    for each in decisions:
        assert each.judged
        assert each.bundle == bundle.digest
        assert engine.answer(each.document) == each.answer, each.decision


def test_the_start_of_the_run_is_one_of_them(decisions: list[Recorded]) -> None:
    assert decisions[0].tool == "run.start"
    assert (decisions[0].caller, decisions[0].answer.verdict) == ("owner", "allow")


def test_replayed_by_the_same_policy_while_the_firewall_is_up_nothing_changes(
    firewall: Attached, decisions: list[Recorded], bundle: Bundle
) -> None:
    report = replay(firewall.home.path, bundle)
    assert set(report.counts.values()) == {0}
    assert report.judged >= len(decisions)
    assert firewall.home.status()


def test_a_stricter_policy_would_have_stopped_what_it_is_against(
    firewall: Attached, decisions: list[Recorded], tmp_path: Path
) -> None:
    site = tmp_path / "safebox/site/transfer"
    site.mkdir(parents=True)
    rule = (
        'deny contains {"code": "site.no_pay", "message": "No."} if not _free\n\n_free if input.action.args.gas == 0\n'
    )
    (site / "transfer.rego").write_text(f"package safebox.site.transfer\n\n{rule}")
    report = replay(firewall.home.path, load_bundle([pack_folder(), tmp_path]))
    paid = [each.decision for each in decisions if each.tool == "wallet.transfer" and each.answer.verdict != "deny"]
    assert [change.decision for change in report.changes if change.kind == "newly_denied"] == paid
    assert len(paid) == 3  # paid at once, held, and let pass
    assert {price.rail for price in report.would_not_move} == {"wallet"}


def test_a_looser_policy_changes_nothing_the_mandate_still_forbids(firewall: Attached, tmp_path: Path) -> None:
    looser = load_bundle([pack_folder(), recordings.fee_cap(tmp_path / "c", 10**18)])
    assert replay(firewall.home.path, looser).counts["newly_allowed"] == 0


def test_the_hold_and_what_used_it_up_are_two_decisions_of_one_action(
    firewall: Attached, decisions: list[Recorded]
) -> None:
    (later,) = [each for each in decisions if each.hold]
    held = find_recorded(firewall.home.path, later.hold or "")
    assert (held.answer.verdict, later.answer.verdict) == ("hold", "allow")
    assert (held.action_id, held.digest) == (later.action_id, later.digest)
    assert find_recorded(firewall.home.path, later.action_id) == later
