"""What a run rents, by the ledger: held from its allow on, given back once, refunded once and at most its charge."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from safebox.firewall.core.money import Amount
from safebox.firewall.core.record import Charge, Decided, Settled
from safebox.firewall.core.rented import START, STATUS, STOP, Rented
from tests.twins import Rig

STARTED = "act_1"


def usd(units: int) -> Charge:
    return Charge("compute", Amount(units, "USD"))


@pytest.fixture
def allow() -> Decided:
    return msgspec.structs.replace(Rig().decided_for("run_1"), tool=START, action_id=STARTED)


def outcome(tool: str, action: str = "act_2", status: Any = "done", **more: Any) -> Settled:
    told: dict[str, Any] = {"charges": (), "refunds": (), "result": {"instance": STARTED}, **more}
    return Settled(at_ns=1, decision="dec", action_id=action, run="run_1", tool=tool, status=status, detail="", **told)


@pytest.fixture
def rented(allow: Decided) -> Rented:
    found = Rented()
    found.allowed(allow)
    found.settled(outcome(START, STARTED, charges=(usd(500),)))
    return found


def test_an_instance_is_held_from_its_allow_until_it_certainly_failed(allow: Decided) -> None:
    rented = Rented()
    rented.allowed(allow)
    assert (len(rented), list(rented)) == (1, [STARTED])
    rented.settled(outcome(START, STARTED, "unknown"))
    assert list(rented) == [STARTED]
    rented.settled(outcome(START, STARTED, "failed"))
    assert list(rented) == []
    rented.allowed(allow)
    rented.revert(allow)
    assert list(rented) == []


def test_only_the_first_that_gives_it_back_brings_a_refund(rented: Rented) -> None:
    stop = outcome(STOP, refunds=(usd(300),))
    assert rented.settled(stop) == (usd(300),)
    assert (list(rented), rented.settled(stop)) == ([], ())
    assert rented.settled(outcome(STATUS, refunds=(usd(300),), result={"instance": STARTED, "state": "exited"})) == ()


def test_a_refund_is_no_more_than_the_charge(rented: Rented) -> None:
    assert rented.settled(outcome(STOP, refunds=(usd(501),))) == (usd(500),)


@pytest.mark.parametrize(
    "event",
    [
        outcome(STOP, status="unknown", refunds=(usd(1),)),
        outcome(STOP, status="failed", refunds=(usd(1),)),
        outcome(STATUS, refunds=(usd(1),), result={"instance": STARTED, "state": "running"}),
        outcome(STOP, refunds=(usd(1),), result={"instance": "act_9"}),
        outcome(STOP, refunds=(usd(1),), result={}),
    ],
    ids=["unknown", "failed", "running", "another", "none"],
)
def test_what_gives_nothing_back_brings_no_refund(rented: Rented, event: Settled) -> None:
    assert rented.settled(event) == ()
    assert list(rented) == [STARTED]


def test_one_that_was_seen_to_have_ended_is_given_back(rented: Rented) -> None:
    seen = outcome(STATUS, refunds=(usd(5),), result={"instance": STARTED, "state": "exited"})
    assert rented.settled(seen) == (usd(5),)
    assert list(rented) == []


def pinning(allow: Decided, action: str, digest: str) -> Decided:
    return msgspec.structs.replace(allow, action_id=action, plan={"image": "base", "digest": digest})


def test_a_name_is_pinned_by_its_first_start_unless_that_failed(allow: Decided) -> None:
    rented = Rented()
    assert (rented.pinned("base"), rented.pinned("base@sha256:9")) == (None, "sha256:9")
    rented.allowed(pinning(allow, "act_1", "sha256:1"))
    rented.settled(outcome(START, "act_1", "failed"))
    assert rented.pinned("base") is None
    rented.allowed(pinning(allow, "act_2", "sha256:2"))
    rented.revert(pinning(allow, "act_2", "sha256:2"))
    assert rented.pinned("base") is None
    for number in (3, 4):
        rented.allowed(pinning(allow, f"act_{number}", f"sha256:{number}"))
    rented.settled(outcome(START, "act_4", "failed"))
    assert (rented.pinned("base"), rented.pinned("other"), rented.pinned("base@")) == ("sha256:3", None, "")


def test_other_actions_are_none_of_its_business(rented: Rented, allow: Decided) -> None:
    rented.allowed(msgspec.structs.replace(allow, tool="wallet.transfer", action_id="act_7"))
    rented.revert(msgspec.structs.replace(allow, tool="wallet.transfer"))
    assert rented.settled(outcome("wallet.transfer", refunds=(usd(7),))) == (usd(7),)
    assert list(rented) == [STARTED]
