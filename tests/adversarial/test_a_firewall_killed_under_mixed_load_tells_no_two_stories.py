"""Killed again and again under mixed load, the firewall, its clients and the world tell the same story.

The short form of `make crash` (`tests/crash`), which kills five hundred times.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from safebox.firewall.keystore import OWNER, Keystore
from tests.contracts.conftest import real_engine
from tests.crash import reckoning
from tests.crash.far_sides import CHAIN_ID
from tests.crash.harness import Session, world
from tests.crash.journal import Question
from tests.crash.load import PAYEE
from tests.live import Answered, until
from tests.real_parts import require, with_bytecode

KILLS = 20
SEED = 8_675_309


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """A session of twenty kills that is over, with its world still there."""
    real_engine("bwrap")
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="sb-") as folder:
        for name in set(os.environ) - set(with_bytecode()):
            patch.delenv(name)
        with world(Path(folder), require("anvil")) as made:
            session = Session(made, SEED)
            session.run(KILLS)
            yield session


@pytest.mark.timeout(300)
def test_every_effect_has_one_allow_every_answer_is_recorded_and_no_budget_is_exceeded(session: Session) -> None:
    tally = session.tally
    assert tally.violations == []
    assert tally.kills == KILLS
    assert min(tally.effects.values()) > 0, tally.effects
    assert tally.recovered > 0
    print(f"{tally.effects}; start: median {tally.middle_start:.2f} s, worst {tally.worst_start:.2f} s")


def _said(session: Session) -> str:
    return "\n".join(session.checks.after_a_kill())


def test_it_would_see_a_mail_that_was_sent_twice_or_never_allowed(session: Session) -> None:
    mails = session.world.mails
    mails.kept.append(mails.kept[0])
    assert "was done twice" in _said(session)
    mails.kept.append({**mails.kept[0], "mark": "nobody-asked"})
    assert "the ledger allows it 0 times" in _said(session)
    mails.kept.append({**mails.kept[1], "digest": "sha256:00"})
    assert "is not the one" in _said(session)


def test_it_would_see_a_question_asked_before_it_was_allowed(session: Session) -> None:
    asked = session.world.model_wire.asked
    asked.append(replace(asked[0], at_ns=0))
    assert "before it was allowed" in _said(session)


def test_it_would_see_a_container_nobody_allowed(session: Session) -> None:
    seen = session.world.sightings.seen
    seen["another"] = replace(next(each for each in seen.values() if each.started), reference="run_x.act_x")
    assert "no record allows that" in _said(session)


def test_it_would_see_an_answer_that_the_ledger_does_not_know_or_contradicts(session: Session) -> None:
    unknown = Question("run_x", "email.send", "mail-0", None)
    session.journal.told(unknown, Answered(200, {"decision_id": "dec_x", "result": {}}, {}))
    assert "has no such decision" in _said(session)
    denied = next(each for each in session.witness.decisions.values() if each.verdict == "deny")
    question = Question(denied.run, denied.tool, denied.mark, None)
    session.journal.told(question, Answered(200, {"decision_id": denied.id, "result": {}}, {}))
    assert "the ledger says deny" in _said(session)


def test_it_would_see_a_payment_that_the_ledger_does_not_know(session: Session) -> None:
    home, chain, owner = session.world.home, session.world.chain, session.world.owner
    assert list(reckoning.payments(session.witness, chain, owner)) == []
    keys = Keystore.open(home.path / "keystore", home.path / "passphrase")
    nonce = int(chain.ask("eth_getTransactionCount", owner, "latest"), 16)
    fees = {"gas": 21_000, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 1}
    payment = {"type": 2, "chainId": CHAIN_ID, "nonce": nonce, "to": PAYEE, "value": 1, "data": b"", **fees}
    mined = chain.balance(PAYEE) + 1
    chain.ask("eth_sendRawTransaction", "0x" + keys.sign_transaction(OWNER, payment).raw_transaction.hex())
    until(lambda: chain.balance(PAYEE) == mined, "it was not mined")
    found = "\n".join(reckoning.payments(session.witness, chain, owner))
    assert "was mined and nothing allows it" in found
    assert "the owner holds" in found


def test_it_would_see_a_record_that_is_gone(session: Session) -> None:
    with sqlite3.connect(session.world.home.ledger) as db:
        db.execute("DELETE FROM events WHERE seq = ?", (session.witness.seq,))
    db.close()
    assert "is gone or changed" in _said(session)
