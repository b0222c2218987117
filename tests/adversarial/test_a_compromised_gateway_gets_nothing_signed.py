"""Law 7 at the signer: who has its socket, but no allow in the signed ledger for just these bytes, gets no signature.

The gateway here is the attacker: it speaks to the signer's own process. Beside each thing that is refused is the one
that is signed, so a signer that signs nothing would not pass.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data

from safebox.firewall.accounts import decode_transaction, signer_of, unsigned_transaction
from safebox.firewall.connectors.transaction import Offer, Payment, as_plan
from safebox.firewall.core.checkpoint import Checkpoint, sign
from safebox.firewall.core.decision import Answer, Reason, Verdict
from safebox.firewall.core.merkle import Tree, leaf_hash
from safebox.firewall.core.money import Amount, token_asset
from safebox.firewall.core.movements import GAS_MONEY_MAX, sent
from safebox.firewall.core.record import (
    Decided,
    RunEnded,
    RunKilled,
    RunPaused,
    RunResumed,
    RunStarted,
    WalletFrozen,
    WalletThawed,
    chain,
    encode_event,
)
from safebox.firewall.core.tools import Caller
from safebox.firewall.core.x402 import Authorization, authorised
from safebox.firewall.errors import EffectError
from safebox.firewall.keystore import OWNER
from safebox.firewall.signer import wire
from safebox.firewall.signer.allow import FRESH_SECONDS
from safebox.firewall.signer.client import SignerClient
from safebox.firewall.signer.process import begin
from safebox.firewall.signer.refusal import SignerRefused
from tests.calls import transfer
from tests.kin import child
from tests.live import halt
from tests.signer_desk import CALLS, READINGS
from tests.signers import CHAIN_ID, CLUB, COIN, FEE, GWEI, RESERVED, TIP, Book, Gateway, permit, signer_over, wei
from tests.twins import PAYEE

STRANGER = "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb"
UPSTREAM = "what a model provider gave the firewall"
TWICE = Offer(max_fee_per_gas=wei(2 * FEE), max_priority_fee_per_gas=wei(2 * TIP))
THRICE = Offer(max_fee_per_gas=wei(3 * FEE), max_priority_fee_per_gas=wei(3 * TIP))
NO = Answer(Verdict.DENY, (Reason("test.no", "no"),), {})
HELD = Answer(Verdict.HOLD, (Reason("test.hold", "wait"),), {})


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Book, Gateway]]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OPENAI_API_KEY", UPSTREAM)
        with signer_over(tmp_path_factory.mktemp("signer")) as both:
            yield both


@pytest.fixture
def book(signers: tuple[Book, Gateway]) -> Book:
    return signers[0]


@pytest.fixture
def gateway(signers: tuple[Book, Gateway]) -> Gateway:
    return signers[1]


def changed(payment: Payment, **changes: Any) -> Payment:
    return msgspec.structs.replace(payment, **changes)


def test_what_was_decided_is_signed_by_the_runs_own_key(book: Book, gateway: Gateway) -> None:
    decided, payment = book.transfer(book.run())
    raw = gateway.signed(decided, payment)
    assert signer_of(raw) == payment.sender
    assert decode_transaction(raw) == payment.fields() | {"to": payment.to.lower(), "accessList": ()}
    assert gateway.signed(decided, payment) == raw, "asked again, it is the same bytes"


@pytest.mark.parametrize(
    "change",
    [
        {"to": STRANGER},
        {"value": wei(GWEI + 1)},
        {"value": wei(0)},
        {"nonce": 1},
        {"gas": 21_001},
        {"chain_id": 1},
        {"data": "0x00"},
        {"max_fee_per_gas": wei(FEE - 1)},
        {"max_priority_fee_per_gas": wei(TIP + 1)},
        {"max_fee_per_gas": wei(FEE + 1), "max_priority_fee_per_gas": wei(TIP - 1)},
        {"max_fee_per_gas": wei(RESERVED)},
        {"max_fee_per_gas": wei(FEE + 1)},
        {"max_fee_per_gas": wei(2 * FEE), "max_priority_fee_per_gas": wei(2 * TIP), "value": wei(0)},
        {"max_fee_per_gas": wei(FEE + 1), "value": wei(1)},
        {"max_fee_per_gas": wei(FEE + 1), "to": STRANGER, "value": wei(0)},
    ],
    ids=str,
)
def test_a_transaction_that_differs_in_anything_is_not_signed(
    book: Book, gateway: Gateway, change: dict[str, Any]
) -> None:
    decided, payment = book.transfer(book.run())
    assert gateway.refused(decided, changed(payment, **change)) == "not_the_plan"
    gateway.signed(decided, payment)


def mangled(raw: bytes) -> dict[str, bytes]:
    return {
        "no type": raw[1:],
        "more": raw + b"\0",
        "cut": raw[:-1],
        "another type": b"\x01" + raw[1:],
        "prefixed": b"\x19Ethereum Signed Message:\n32" + raw,
        "nothing": b"",
        "a digest": b"\x01" * 32,
    }


@pytest.mark.parametrize("how", sorted(mangled(b"")))
def test_bytes_that_are_no_such_transaction_are_not_signed(book: Book, gateway: Gateway, how: str) -> None:
    decided, payment = book.transfer(book.run())
    assert gateway.refused(decided, mangled(unsigned_transaction(payment.fields()))[how]) == "not_the_plan"
    gateway.signed(decided, payment)


def test_a_decision_nobody_wrote_is_no_allow(book: Book, gateway: Gateway) -> None:
    run = book.run()
    forged, payment = book.transfer(run, written=False)
    assert gateway.refused(forged, payment) == "no_record"
    decided, payment = book.transfer(run)
    gateway.signed(decided, payment)


@pytest.mark.parametrize("answer", [NO, HELD], ids=["denied", "held"])
def test_what_was_denied_or_waits_is_not_signed(book: Book, gateway: Gateway, answer: Answer) -> None:
    run = book.run()
    decided, payment = book.transfer(run, answer=answer)
    assert gateway.refused(decided, payment) == "no_record"
    allowed, payment = book.transfer(run)
    gateway.signed(allowed, payment)


def test_an_allow_is_for_one_run(book: Book, gateway: Gateway) -> None:
    one, other = book.run(), book.run()
    decided, payment = book.transfer(one)
    theirs = book.payment(other)
    assert gateway.refused(decided, theirs, signer=other) == "another_key"
    assert gateway.refused(decided, payment, signer=OWNER) == "another_key"
    crossed = book.decided(one, "wallet.transfer", {"to": PAYEE, "amount": f"{GWEI} wei"}, as_plan(theirs))
    book.write(crossed)
    assert gateway.refused(crossed, theirs) == "another_key", "although somebody wrote it so"
    gateway.signed(decided, payment)


def test_an_allow_is_for_one_chain(book: Book, gateway: Gateway) -> None:
    run = book.run()
    payment = book.payment(run, chain_id=1)
    foreign = book.decided(run, "wallet.transfer", {"to": PAYEE, "amount": f"{GWEI} wei"}, as_plan(payment))
    book.write(foreign)
    assert gateway.refused(foreign, payment) == "wrong_chain", "the mandate names another chain"
    decided, payment = book.transfer(run)
    assert gateway.refused(decided, changed(payment, chain_id=1)) == "not_the_plan"
    gateway.signed(decided, payment)


@pytest.mark.parametrize("status", ["done", "failed"])
def test_what_is_settled_is_not_begun_again(book: Book, gateway: Gateway, status: str) -> None:
    run = book.run()
    decided, payment = book.transfer(run)
    book.settle(decided, status)
    assert gateway.refused(decided, payment) == "settled"
    decided, payment = book.transfer(run)
    gateway.signed(decided, payment)


def test_what_is_unknown_is_not_begun_again_but_what_was_signed_is_found(book: Book, gateway: Gateway) -> None:
    run = book.run()
    begun, payment = book.transfer(run)
    raw = gateway.signed(begun, payment)
    book.settle(begun, "unknown")
    assert gateway.signed(begun, payment, again=True) == raw
    book.write(RunEnded(at_ns=time.time_ns(), run=run, reason="exit", exit_code=0))
    assert gateway.signed(begun, payment, again=True) == raw, "also when the run is over"
    run = book.run()
    never, other = book.transfer(run, nonce=1)
    assert gateway.sign(never, other, again=True) == wire.Never()
    book.settle(never, "unknown")
    assert gateway.refused(never, other) == "settled"


def test_an_old_allow_is_not_signed(book: Book, gateway: Gateway) -> None:
    run = book.run()
    old = time.time_ns() - (FRESH_SECONDS + 5) * 10**9
    decided, payment = book.transfer(run, at_ns=old)
    assert gateway.refused(decided, payment) == "expired"
    decided, payment = book.transfer(run, at_ns=old + 60 * 10**9)
    gateway.signed(decided, payment)


@pytest.mark.parametrize(
    ("stop", "go"),
    [(RunKilled, None), (RunPaused, RunResumed), (WalletFrozen, WalletThawed)],
    ids=["killed", "paused", "frozen"],
)
def test_a_stop_that_is_in_the_ledger_stops_the_signer(book: Book, gateway: Gateway, stop: Any, go: Any) -> None:
    run = book.run()
    decided, payment = book.transfer(run)
    book.write(stop(at_ns=time.time_ns(), run=run, by="owner"), sealed=False)
    assert gateway.refused(decided, payment) == "stopped"
    if go is not None:
        book.write(go(at_ns=time.time_ns(), run=run, by="owner"))
        gateway.signed(decided, payment)
    swept, home = book.moved("wallet.sweep", run)
    gateway.signed(swept, home)


def test_a_child_of_a_stopped_run_signs_nothing(book: Book, gateway: Gateway) -> None:
    parent = book.run()
    child = book.run(parent=parent)
    decided, payment = book.transfer(child)
    book.write(RunPaused(at_ns=time.time_ns(), run=parent, by="owner"))
    assert gateway.refused(decided, payment) == "stopped"
    book.write(RunResumed(at_ns=time.time_ns(), run=parent, by="owner"))
    book.write(WalletFrozen(at_ns=time.time_ns(), run=parent, by="owner"))
    assert gateway.refused(decided, payment) == "stopped"
    book.write(WalletThawed(at_ns=time.time_ns(), run=parent, by="owner"))
    gateway.signed(decided, payment)
    book.write(RunEnded(at_ns=time.time_ns(), run=child, reason="exit", exit_code=0))
    other, payment = book.moved("wallet.sweep", parent)
    gateway.signed(other, payment)
    late, payment = book.transfer(child, nonce=1)
    assert gateway.refused(late, payment) == "stopped"


def test_a_child_signs_nothing_after_its_parents_end_and_may_come_home(book: Book, gateway: Gateway) -> None:
    parent = book.run()
    child = book.run(parent=parent)
    decided, payment = book.transfer(child)
    book.write(RunEnded(at_ns=time.time_ns(), run=parent, reason="exit", exit_code=0))
    assert gateway.refused(decided, payment) == "stopped"
    swept, home = book.moved("wallet.sweep", child, nonce=1)
    gateway.signed(swept, home)


def nothing_signed_for(book: Book, gateway: Gateway, run: str) -> set[str]:
    """Why none of what could be signed for a run or to it is; raises if anything is."""
    decided, payment = book.transfer(run)
    typed, data = book.typed(run)
    funded, given = book.moved("wallet.fund", run, nonce=next(NONCES))
    asked: list[tuple[Decided, Any]] = [(decided, payment), (typed, data), (funded, given)]
    return {gateway.refused(each, what) for each, what in asked}


NONCES = itertools.count(1_000)
"""Of the owner's payments: above all that the others use."""


def test_a_child_that_no_allow_names_gets_nothing_and_neither_do_its_children(book: Book, gateway: Gateway) -> None:
    parent = book.run()
    event = book.start()
    book.write(child(event, parent))
    assert nothing_signed_for(book, gateway, event.run) == {"no_birth"}
    below = book.run(parent=event.run)
    assert nothing_signed_for(book, gateway, below) == {"no_birth"}
    good = book.run(parent=parent)
    for decided, payment in (book.transfer(good), book.transfer(parent)):
        gateway.signed(decided, payment)


def another_mandate(event: RunStarted) -> RunStarted:
    wider = bytes(event.mandate).replace(b"Test the pipeline.", b"Do as you like.")
    assert wider != bytes(event.mandate)
    return msgspec.structs.replace(event, mandate=msgspec.Raw(wider))


@pytest.mark.parametrize("how", ["denied", "held", "settled", "another's", "another run", "another mandate", "twice"])
def test_an_allow_is_for_one_child_of_one_parent_under_one_mandate(book: Book, gateway: Gateway, how: str) -> None:
    parent, other = book.run(), book.run()
    event = book.start()
    begun = child(event, parent)
    allow = book.birth(event, parent)
    match how:
        case "denied" | "held":
            book.write(msgspec.structs.replace(allow, answer=NO if how == "denied" else HELD), begun)
        case "settled":
            book.write(allow)
            book.settle(allow, "failed")
            book.write(begun)
        case "another's":
            book.write(book.birth(event, other), begun)
        case "another run":
            book.write(allow)
            begun = again(book, begun)
        case "another mandate":
            book.write(allow, another_mandate(begun))
        case _:
            book.write(allow, begun)
            begun = again(book, begun)
    assert nothing_signed_for(book, gateway, begun.run) == {"no_birth"}


def again(book: Book, begun: RunStarted) -> RunStarted:
    """Another run that says it came of the same allow."""
    fresh = book.start()
    second = msgspec.structs.replace(begun, run=fresh.run)
    book.write(second)
    return second


def test_a_second_start_lifts_no_stop(book: Book, gateway: Gateway) -> None:
    event = book.start()
    book.write(event)
    decided, payment = book.transfer(event.run)
    gateway.signed(decided, payment)
    book.write(RunKilled(at_ns=time.time_ns(), run=event.run, by="owner"), event)
    late, payment = book.transfer(event.run, nonce=1)
    assert gateway.refused(late, payment) == "stopped"


def test_a_nonce_is_signed_for_one_payload(book: Book, gateway: Gateway) -> None:
    run = book.run()
    first, payment = book.transfer(run, nonce=5)
    gateway.signed(first, payment)
    twin, _ = book.transfer(run, nonce=5)
    assert gateway.refused(twin, payment) == "nonce_used", "one transaction can't do what two decisions allow"
    plan = changed(payment, to=STRANGER, value=wei(1))
    other = book.decided(run, "wallet.transfer", {"to": STRANGER, "amount": "1 wei"}, as_plan(plan))
    book.write(other)
    assert gateway.refused(other, plan) == "nonce_used"
    older, payment = book.transfer(run, nonce=4)
    assert gateway.refused(older, payment) == "nonce_older"
    newer, payment = book.transfer(run, nonce=6)
    gateway.signed(newer, payment)


@pytest.mark.parametrize("status", ["failed", "unknown"])
def test_a_nonce_whose_payment_failed_or_got_lost_may_be_had_by_another_allow(
    book: Book, gateway: Gateway, status: str
) -> None:
    run = book.run()
    lost, payment = book.transfer(run, replacements=(TWICE,))
    raw = gateway.signed(lost, payment)
    plan = changed(payment, to=STRANGER, value=wei(1), replacements=())
    other = book.decided(run, "wallet.transfer", {"to": STRANGER, "amount": "1 wei"}, as_plan(plan))
    book.write(other)
    assert gateway.refused(other, plan) == "nonce_used"
    book.settle(lost, status)
    gateway.signed(other, plan)
    if status == "unknown":
        assert gateway.signed(lost, payment, again=True) == raw, "so that it can be found by its hash"
        assert gateway.refused(lost, payment.variants()[1]) == "nonce_used"


def test_only_what_the_plan_names_in_its_place_is_signed_instead(book: Book, gateway: Gateway) -> None:
    decided, payment = book.transfer(book.run(), replacements=(TWICE, THRICE))
    _, twice, thrice = payment.variants()
    between = changed(twice, max_fee_per_gas=wei(2 * FEE + 1))
    gateway.signed(decided, payment)
    for other in (between, changed(twice, value=wei(1)), changed(twice, to=STRANGER), nothing(twice)):
        assert gateway.refused(decided, other) == "not_the_plan"
    gateway.signed(decided, thrice)
    assert gateway.refused(decided, twice) == "nonce_used", "a lower fee replaces nothing"


def test_what_takes_more_than_was_reserved_is_not_signed(book: Book, gateway: Gateway) -> None:
    run = book.run()
    most = (RESERVED - GWEI) // 21_000
    dear = Offer(max_fee_per_gas=wei(most + 1), max_priority_fee_per_gas=wei(TIP))
    just = Offer(max_fee_per_gas=wei(most), max_priority_fee_per_gas=wei(TIP))
    decided, payment = book.transfer(run, replacements=(just, dear))
    first, fits, over = payment.variants()
    assert gateway.refused(decided, over) == "not_reserved", "although somebody wrote it so"
    gateway.signed(decided, first)
    gateway.signed(decided, fits)
    unreserved, other = book.transfer(run, nonce=1, charges=())
    assert gateway.refused(unreserved, other) == "not_reserved"


def nothing(payment: Payment) -> Payment:
    return changed(payment, to=payment.sender, value=wei(0))


def test_a_stopped_run_may_cancel_and_come_home_but_not_press_on(book: Book, gateway: Gateway) -> None:
    run, other = book.run(), book.run()
    pressing, payment = book.transfer(run, replacements=(TWICE,))
    yielding, given_up = book.transfer(other, replacements=(TWICE,), give_up=True)
    for decided, first in ((pressing, payment), (yielding, given_up)):
        gateway.signed(decided, first)
        book.write(RunKilled(at_ns=time.time_ns(), run=decided.run, by="owner"))
    assert gateway.refused(pressing, payment.variants()[1]) == "stopped"
    cancel = given_up.variants()[1]
    assert gateway.refused(yielding, changed(cancel, to=STRANGER)) == "not_the_plan"
    gateway.signed(yielding, cancel)
    swept, home = book.moved("wallet.sweep", run)
    gateway.signed(swept, home)


def test_news_of_a_run_that_is_over_doesnt_stop_the_signer(book: Book, gateway: Gateway) -> None:
    over, run = book.run(), book.run()
    book.write(RunEnded(at_ns=time.time_ns(), run=over, reason="exit", exit_code=0))
    book.write(RunKilled(at_ns=time.time_ns(), run=over, by="owner"))
    orphan = book.run(parent=over)
    late, payment = book.transfer(orphan)
    assert gateway.refused(late, payment) == "stopped", "nobody above it can be stopped any more"
    decided, payment = book.transfer(run)
    gateway.signed(decided, payment)


@pytest.mark.parametrize("tool", ["wallet.fund", "wallet.sweep"])
def test_the_owners_money_goes_to_the_run_and_home_and_nowhere_else(book: Book, gateway: Gateway, tool: str) -> None:
    run, nonce = book.run(), time.time_ns() // 10**6
    astray, elsewhere = book.moved(tool, run, nonce=nonce, to=STRANGER)
    assert gateway.refused(astray, elsewhere) == "not_the_action", "although somebody wrote it so"
    right, payment = book.moved(tool, run, nonce=nonce)
    gateway.signed(right, payment)
    agents = msgspec.structs.replace(right, decision=right.decision + "b", caller=Caller.AGENT)
    book.write(agents)
    assert gateway.refused(agents, payment) == "not_the_action", "an agent has no such tool"


@pytest.mark.parametrize("tool", ["wallet.fund", "wallet.sweep"])
def test_a_token_moves_by_its_own_transfer_to_the_run_or_home_and_by_nothing_else(
    book: Book, gateway: Gateway, tool: str
) -> None:
    run, nonce = book.run(), time.time_ns() // 10**6
    right, payment = book.lent(tool, run, nonce=nonce)
    elsewhere = sent(STRANGER, Amount(7, token_asset(COIN))).data
    more = sent(payment.sender, Amount(8, token_asset(COIN))).data
    bends: tuple[dict[str, Any], ...] = (
        {"data": "0x" + elsewhere.hex()},
        {"data": "0x" + more.hex()},
        {"data": payment.data + "00"},
        {"data": payment.data[:-2]},
        {"data": payment.data.replace("a9059cbb", "095ea7b3")},  # approve
        {"data": "0x"},
        {"value": wei(1)},
        {"to": STRANGER},
        {"to": payment.sender},
    )
    for bent in bends:
        written, forged = book.lent(tool, run, nonce=nonce, **bent)
        assert gateway.refused(written, forged) == "not_the_action", "although somebody wrote it so"
        assert gateway.refused(right, forged) == "not_the_plan"
    for unlisted in (STRANGER, CLUB):
        written, forged = book.lent(tool, run, nonce=nonce, token=unlisted)
        assert gateway.refused(written, forged) == "not_the_action", "the mandate lists no such token"
    all_of_it = book.decided(run, tool, {"to": payment.to, "amount": None}, as_plan(payment))
    book.write(all_of_it)
    assert gateway.refused(all_of_it, payment) == "not_the_action"
    gateway.signed(right, payment)


def test_an_ended_run_comes_home_and_gets_money_for_gas_and_nothing_else(book: Book, gateway: Gateway) -> None:
    run, nonce = book.run(), time.time_ns() // 10**6
    late, payment = book.transfer(run)
    book.write(RunEnded(at_ns=time.time_ns(), run=run, reason="exit", exit_code=0))
    assert gateway.refused(late, payment) == "stopped"
    approved, call = book.approval(run)
    assert gateway.refused(approved, call) == "stopped"
    lent, coins = book.lent("wallet.fund", run, nonce=nonce)
    assert gateway.refused(lent, coins) == "not_the_action"
    most = GAS_MONEY_MAX * FEE
    for units in (most + 1, most):
        given, gas = book.moved("wallet.fund", run, nonce=nonce, value=wei(units))
        if units > most:
            assert gateway.refused(given, gas) == "not_the_action"
        else:
            gateway.signed(given, gas)
    astray, elsewhere = book.moved("wallet.sweep", run, to=STRANGER)
    assert gateway.refused(astray, elsewhere) == "not_the_action"
    for at, (swept, home) in enumerate((book.lent("wallet.sweep", run), book.moved("wallet.sweep", run, nonce=1))):
        assert gateway.signed(swept, home), at


def test_the_plan_is_what_the_action_asked_for(book: Book, gateway: Gateway) -> None:
    run = book.run()
    payment = book.payment(run, to=STRANGER)
    bent = book.decided(run, "wallet.transfer", {"to": PAYEE, "amount": f"{GWEI} wei"}, as_plan(payment))
    book.write(bent)
    assert gateway.refused(bent, payment) == "not_the_action"
    approved, call = book.approval(run)
    assert gateway.refused(approved, changed(call, data=call.data[:-2] + "ff")) == "not_the_plan"
    other, wrong = book.approval(run, data=call.data[:-2] + "ff")
    assert gateway.refused(other, wrong) == "not_the_action"
    gateway.signed(approved, call)


def judged_as(decided: Decided, leaves: list[Any]) -> Decided:
    """The same allow, of which policy was shown these leaves."""
    shown = msgspec.json.decode(bytes(decided.action))
    shown["args"]["leaves"] = leaves
    return msgspec.structs.replace(decided, action=msgspec.Raw(msgspec.json.encode(shown)))


def leaves_of(decided: Decided) -> list[Any]:
    """The leaves that policy was shown."""
    shown: dict[str, Any] = msgspec.json.decode(bytes(decided.action))
    return list(shown["args"]["leaves"])


def test_a_call_is_signed_if_its_data_are_the_leaves_that_were_judged(book: Book, gateway: Gateway) -> None:
    decided, payment = book.call(book.run(), transfer(5))
    book.write(decided)
    assert decode_transaction(gateway.signed(decided, payment))["data"] == transfer(5)
    other, planned = book.call(book.run(), transfer(5))
    book.write(other)
    assert gateway.refused(other, changed(planned, data="0x" + transfer(6).hex())) == "not_the_plan"


LIES: dict[str, Callable[[list[Any]], list[Any]]] = {
    "less": lambda leaves: [{**leaves[0], "amount": {**leaves[0]["amount"], "units": "4".zfill(78)}}],
    "another payee": lambda leaves: [{**leaves[0], "other": STRANGER}],
    "another token": lambda leaves: [{**leaves[0], "contract": STRANGER}],
    "of another standard": lambda leaves: [{**leaves[0], "standard": "erc721"}],
    "a part left out": lambda leaves: leaves[:-1],
    "a part twice": lambda leaves: leaves * 2,
    "in another order": lambda leaves: leaves[::-1],
    "not by a batch": lambda leaves: [{**each, "carriers": []} for each in leaves],
    "another argument": lambda leaves: [leaves[0], {**leaves[1], "arguments": []}],
    "another function": lambda leaves: [leaves[0], {**leaves[1], "method": "open()"}],
    "addresses left out": lambda leaves: [leaves[0], {**leaves[1], "addresses": []}],
    "nothing": lambda _: [],
}


@pytest.mark.parametrize("name", LIES)
def test_a_call_that_was_judged_by_other_leaves_than_its_own_is_not_signed(
    book: Book, gateway: Gateway, name: str
) -> None:
    to, data = CALLS["batch"]
    decided, payment = book.call(book.run(), data, to=to, contracts=READINGS)
    forged = judged_as(decided, LIES[name](leaves_of(decided)))
    book.write(forged)
    assert gateway.refused(forged, payment) == "not_the_action", name
    honest, planned = book.call(book.run(), data, to=to, contracts=READINGS)
    honest = judged_as(honest, leaves_of(honest))
    book.write(honest)
    gateway.signed(honest, planned)


def test_typed_data_is_signed_as_it_was_decided_and_once(book: Book, gateway: Gateway) -> None:
    run = book.run()
    decided, args = book.typed(run)
    for text in (
        args.typed_data.replace('"5"', '"6"'),
        args.typed_data.replace('"5"', "5"),
        " " + args.typed_data,
        args.typed_data + "{}",
        "{}",
        args.typed_data.replace("31337", "1"),
    ):
        assert gateway.refused(decided, text.encode(), kind="typed_data") in ("not_the_action", "unreadable")
    signature = gateway.signed(decided, args)
    whole = encode_typed_data(full_message=permit(book.address(run)) | {"types": with_domain(args)})
    assert Account.recover_message(whole, signature=signature) == book.address(run)
    assert gateway.signed(decided, args) == signature
    foreign, args = book.typed(run, chain_id=1)
    assert gateway.refused(foreign, args) == "wrong_chain"


def with_domain(args: Any) -> dict[str, Any]:
    types: dict[str, Any] = msgspec.to_builtins(args.parsed().types)
    domain = (("name", "string"), ("chainId", "uint256"), ("verifyingContract", "address"))
    return types | {"EIP712Domain": [{"name": name, "type": kind} for name, kind in domain]}


def test_a_server_is_paid_by_the_one_authorisation_that_was_planned(book: Book, gateway: Gateway) -> None:
    run = book.run()
    decided, args = book.pay_request(run)
    plan = msgspec.convert(decided.plan, Authorization)
    text = authorised(args, plan, CHAIN_ID).typed_data
    altered = {
        "more": text.replace('"10000"', '"10001"'),
        "another payee": text.replace(PAYEE, STRANGER),
        "another nonce": text.replace("ab" * 32, "cd" * 32),
        "longer": text.replace(str(plan.valid_before), str(plan.valid_before + 1)),
        "another chain": text.replace("31337", "1"),
        "another token": text.replace(args.token, STRANGER),
        "another name": text.replace("USD Coin", "USD Koin"),
        "another type": text.replace("TransferWith", "ReceiveWith"),
        "another reading": " " + text,
    }
    for how, each in altered.items():
        assert each != text, how
        assert gateway.refused(decided, each.encode(), kind="typed_data") in ("not_the_action", "unreadable"), how
    signature = gateway.signed(decided, text.encode(), kind="typed_data")
    whole = encode_typed_data(full_message=msgspec.json.decode(text))
    assert Account.recover_message(whole, signature=signature) == book.address(run)
    assert gateway.signed(decided, text.encode(), kind="typed_data") == signature


def test_a_plan_that_pays_otherwise_than_was_asked_is_not_signed(book: Book, gateway: Gateway) -> None:
    run, other = book.run(), book.run()
    plans: list[tuple[str, dict[str, Any]]] = [
        ("not_the_plan", {"valid_before": int(time.time()) + 3_600}),
        ("not_the_plan", {"nonce": "0x00"}),
        ("not_the_plan", {"valid_after": 2**40}),
        ("another_key", {"payer": book.address(other)}),
        ("wrong_chain", {"chain_id": 1}),
    ]
    for why, changes in plans:
        decided, _ = book.pay_request(run, **changes)
        assert gateway.refused(decided, b"{}", kind="typed_data") == why, changes
    bare, _ = book.pay_request(run)
    little = msgspec.structs.replace(bare, decision="dec_little", action_id="act_little", charges=())
    book.write(little)
    assert gateway.refused(little, b"{}", kind="typed_data") == "not_reserved"


def test_a_message_is_a_text_that_was_decided(book: Book, gateway: Gateway) -> None:
    run = book.run()
    decided, args = book.message(run, b"I agree.")
    assert gateway.refused(decided, b"I agree!", kind="message") == "not_the_action"
    signature = gateway.signed(decided, args)
    assert Account.recover_message(encode_defunct(b"I agree."), signature=signature) == book.address(run)
    transaction = unsigned_transaction(book.payment(run).fields())
    for content in (b"\x07" * 32, transaction, transaction.hex().encode(), b"\x19\x01" + b"a" * 64, b"\xff\xfe"):
        acts, args = book.message(run, content)
        assert gateway.refused(acts, args) == "no_text", "although somebody allowed it"


def test_an_allow_for_one_thing_signs_no_other(book: Book, gateway: Gateway) -> None:
    run = book.run()
    transfer, payment = book.transfer(run)
    message, args = book.message(run, b"I agree.")
    typed, data = book.typed(run)
    for decided, what in ((transfer, args), (transfer, data), (message, payment), (typed, payment), (typed, args)):
        assert gateway.refused(decided, what) == "another_tool"
    asked = {"to": PAYEE, "amount": f"{GWEI} wei"}
    for tool, arguments, plan in (("wallet.balance", {}, {}), ("wallet.quote", asked, as_plan(book.payment(run)))):
        read = book.decided(run, tool, arguments, plan)
        book.write(read)
        assert gateway.refused(read, payment) == "another_tool"
    for decided, what in ((transfer, payment), (message, args), (typed, data)):
        gateway.signed(decided, what)


# --- the ledger's file --------------------------------------------------------------------------------------------


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[tuple[Book, Gateway]]:
    """A signer of this test's own, whose ledger may be spoilt."""
    with signer_over(tmp_path) as both:
        yield both


def smuggle(book: Book, decided: Decided) -> bytes:
    """Write a record into the file with a right hash, but not through the notary."""
    body = encode_event(decided)
    with sqlite3.connect(book.ledger) as db:
        seq, head = db.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        db.execute("INSERT INTO events VALUES (?, ?, ?)", (seq + 1, body, chain(head, body)))
    return body


def test_a_record_the_notary_did_not_sign_is_no_allow(alone: tuple[Book, Gateway]) -> None:
    book, gateway = alone
    run = book.run()
    good, payment = book.transfer(run)
    gateway.signed(good, payment)
    forged, other = book.transfer(run, nonce=1, written=False)
    smuggle(book, forged)
    assert gateway.refused(forged, other) == "uncovered"
    tree = Tree()
    with sqlite3.connect(book.ledger) as db:
        for (body,) in db.execute("SELECT body FROM events ORDER BY seq"):
            tree.append(leaf_hash(body))
        note = sign(Checkpoint("safebox/ledger/x", tree.size, tree.root()), "safebox", Ed25519PrivateKey.generate())
        db.execute("INSERT INTO checkpoints VALUES (?, ?)", (tree.size, note))
    assert gateway.refused(forged, other) == "rewritten"
    assert gateway.refused(good, payment) == "rewritten", "nothing of such a ledger is believed"


def test_an_allow_waits_for_the_checkpoint_that_covers_it(alone: tuple[Book, Gateway]) -> None:
    book, gateway = alone
    book.store.signing = False
    decided, payment = book.transfer(book.run())
    answer = gateway.sign(decided, payment)
    assert isinstance(answer, wire.No)
    assert (answer.why, answer.later) == ("uncovered", True)
    book.store.signing = True
    book.transfer(book.run())
    gateway.signed(decided, payment)


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE events SET body = CAST(replace(CAST(body AS TEXT), '000001000000000', '000009000000000') AS BLOB)",
        "DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)",
        "UPDATE events SET hash = zeroblob(32) WHERE seq = (SELECT max(seq) FROM events)",
        "DELETE FROM events",
    ],
)
def test_a_ledger_that_was_changed_under_it_is_not_believed(tmp_path: Path, spoil: str) -> None:
    with signer_over(tmp_path) as (book, gateway):
        decided, payment = book.transfer(book.run())
        gateway.signed(decided, payment)
    with sqlite3.connect(tmp_path / "ledger.sqlite3") as db:
        db.execute(spoil)
    again = Gateway(begin(tmp_path, tmp_path / "ledger.sqlite3"))
    try:
        assert again.refused(decided, payment) in ("rewritten", "no_record")
    finally:
        again.close()


# --- the process itself -------------------------------------------------------------------------------------------


def test_what_was_signed_outlives_the_signer(tmp_path: Path) -> None:
    with signer_over(tmp_path) as (book, gateway):
        run = book.run()
        decided, payment = book.transfer(run, nonce=3)
        raw = gateway.signed(decided, payment)
        os.kill(gateway.process.process.pid, signal.SIGKILL)
        again = Gateway(begin(tmp_path, book.ledger))
        plan = changed(payment, to=STRANGER, value=wei(1))
        other = book.decided(run, "wallet.transfer", {"to": STRANGER, "amount": "1 wei"}, as_plan(plan))
        book.write(other)
        try:
            assert again.refused(other, plan) == "nonce_used"
            assert again.signed(decided, payment, again=True) == raw
        finally:
            again.close()


def test_nobody_of_the_same_user_looks_into_it_and_it_dumps_no_core(gateway: Gateway) -> None:
    pid = gateway.process.process.pid
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
    assert Path(f"/proc/{pid}/mem").stat().st_uid == 0, "what isn't dumpable belongs to root, so only root may look"


def test_what_it_has_in_memory_is_not_written_to_the_swap(gateway: Gateway) -> None:
    pid = gateway.process.process.pid
    status = dict(each.split(":", 1) for each in Path(f"/proc/{pid}/status").read_text().splitlines())
    locked, resident = (int(status[name].split()[0]) for name in ("VmLck", "VmRSS"))
    _, most = resource.prlimit(pid, resource.RLIMIT_MEMLOCK)
    assert locked >= (resident // 2 if most == resource.RLIM_INFINITY else 4), "all of it, or the page with the secret"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look")
def test_nobody_can_connect_to_it_and_it_has_no_socket_but_the_firewalls(gateway: Gateway) -> None:
    pid = gateway.process.process.pid
    open_files = [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()]
    sockets = [each for each in open_files if each.startswith("socket:")]
    assert len(sockets) == 1
    named = [each.split() for each in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]]
    (mine,) = [each for each in named if f"socket:[{each[6]}]" == sockets[0]]
    assert len(mine) == 7, "it has no name in any file system or namespace, so nobody finds it"
    assert not os.get_inheritable(gateway.process.connection.fileno()), "nor does a child of the firewall get it"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look")
def test_it_is_told_no_other_secret_of_the_firewalls(gateway: Gateway) -> None:
    assert os.environ["OPENAI_API_KEY"] == UPSTREAM
    told = Path(f"/proc/{gateway.process.process.pid}/environ").read_bytes()
    assert UPSTREAM.encode() not in told
    assert b"PATH=" in told


def test_what_is_no_question_ends_the_signer_and_signs_nothing(tmp_path: Path) -> None:
    for content in (b"\xff\xff\xff\xff", (5).to_bytes(4) + b"hello", wire.frame(wire.Signed(b"x"))):
        with signer_over(tmp_path / str(len(content))) as (_, gateway):
            gateway.process.connection.sendall(content)
            assert wire.receive(gateway.process.connection) is None
            assert gateway.process.process.wait(10) == 0


async def test_a_signer_that_dies_or_hangs_is_a_no_and_the_next_one_knows_what_was_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safebox.firewall.signer.client.ANSWER_SECONDS", 1.0)
    book = await asyncio.to_thread(Book, tmp_path)
    client = SignerClient(tmp_path, book.ledger)
    await client.start()
    decided, payment = await asyncio.to_thread(lambda: book.transfer(book.run()))
    raw = (await client.sign_transaction(decided.run, payment.fields(), decided.decision)).raw_transaction
    for dies in (True, False):
        assert client.pid is not None
        if dies:
            os.kill(client.pid, signal.SIGKILL)
        else:
            halt(client.pid)
        with pytest.raises(EffectError, match="does not answer"):
            await client.sign_transaction(decided.run, payment.fields(), decided.decision)
        again = await client.signed_before(decided.run, payment.fields(), decided.decision)
        assert again is not None
        assert again.raw_transaction == raw
    assert client.restarts == 2
    with pytest.raises(SignerRefused):
        await client.sign_transaction(decided.run, payment.fields() | {"value": 1}, decided.decision)
    await client.close()
    await asyncio.to_thread(book.close)
