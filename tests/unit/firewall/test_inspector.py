"""A ledger that does not verify: agents get no yes, their no is recorded, the owner may bring the money home."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from safebox.firewall.core.action import Call
from safebox.firewall.core.money import Amount
from safebox.firewall.core.record import PolicyActivated, encode_event
from safebox.firewall.core.reply import Status
from safebox.firewall.core.tools import Caller
from safebox.firewall.inspector import Inspector
from safebox.firewall.ledger import Ledger
from safebox.firewall.metrics import Metrics
from safebox.firewall.store.notary import Notary
from safebox.firewall.store.sqlite import SqliteStore
from tests.twins import PAYEE, Rig

PAY = Call(run="run_1", tool="wallet.transfer", arguments={"to": PAYEE, "amount": "1 wei"})
SWEEP = Call(run="run_1", tool="wallet.sweep", arguments={"to": PAYEE, "amount": Amount(1, "ETH")}, caller=Caller.OWNER)


async def test_agents_get_no_yes_and_their_no_is_recorded() -> None:
    rig = Rig()
    rig.ledger.fault = "record 3 is not the one that was written"
    reply = await rig.pipeline.handle(PAY)
    assert (reply.status, reply.code) == (Status.UNAVAILABLE, "firewall.ledger_unavailable")
    assert rig.effects == 0
    assert rig.metric("safebox_ledger_failures_total", cause="corrupt") == 1
    rig.engine.deny()
    assert (await rig.pipeline.handle(PAY)).status is Status.DENIED


async def test_the_owner_may_bring_the_money_home() -> None:
    rig = Rig()
    rig.ledger.fault = "record 3 is not the one that was written"
    assert (await rig.pipeline.handle(SWEEP)).status is Status.DONE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


async def test_what_is_not_known_to_be_whole_is_neither_believed_nor_signed(path: Path, tmp_path: Path) -> None:
    notary = Notary.open(tmp_path / "keystore")
    store = SqliteStore(path, notary=notary, signing=False)
    ledger = Ledger(store)
    inspector = Inspector(path, notary.verifier, ledger, store, Metrics())
    assert ledger.fault == "it has not been verified since the start"
    assert not store.signing
    await ledger.note(PolicyActivated(at_ns=1, bundle="a"))
    await asyncio.sleep(0.2)
    assert signed_to(path) == 0
    await inspector.look()
    assert ledger.fault is None
    assert store.signing
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE events SET body = ?", (encode_event(PolicyActivated(at_ns=1, bundle="b")),))
        db.commit()
    await inspector.look()
    assert ledger.fault == "record 1 is not the one that was written"
    assert not store.signing
    await ledger.note(PolicyActivated(at_ns=2, bundle="c"))
    await asyncio.sleep(0.2)
    store.close()
    assert signed_to(path) == 0, "nor is it signed at the end"


def signed_to(path: Path) -> int:
    """The newest checkpoint in the file; 0 is the one that a ledger begins with."""
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("SELECT max(size) FROM checkpoints").fetchone()[0])


async def test_a_ledger_that_is_gone_is_not_believed(path: Path, tmp_path: Path) -> None:
    notary, metrics = Notary.open(tmp_path / "keystore"), Metrics()
    store = SqliteStore(path, notary=notary)
    ledger = Ledger(store)
    inspector = Inspector(path, notary.verifier, ledger, store, metrics)
    os.rename(path, tmp_path / "away")
    await inspector.look()
    assert "there is no ledger" in str(ledger.fault)
    assert metrics.registry.get_sample_value("safebox_ledger_verified") == 0
    store.close()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("UPDATE checkpoints SET note = 'x' WHERE size = (SELECT max(size) FROM checkpoints)", "checkpoint 3: "),
        ("DELETE FROM checkpoints WHERE size = 0; DELETE FROM checkpoints", "no checkpoint is there"),
        ("DELETE FROM events WHERE seq = 3", "checkpoint 3 speaks of records that are not there"),
    ],
)
async def test_a_start_believes_no_ledger_its_last_checkpoint_says_no_to(
    path: Path, tmp_path: Path, change: str, fault: str
) -> None:
    notary = await three_signed_records(path, tmp_path)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(change)
    ledger, _ = await looked_at(path, notary)
    assert str(ledger.fault).startswith(fault)


async def test_an_old_checkpoint_is_left_to_the_look_after_the_start(path: Path, tmp_path: Path) -> None:
    notary = await three_signed_records(path, tmp_path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE checkpoints SET note = 'x' WHERE size = 1")
        db.commit()
    ledger, inspector = await looked_at(path, notary)
    assert ledger.fault is None
    await inspector.look()
    assert str(ledger.fault).startswith("checkpoint 1: ")


async def three_signed_records(path: Path, tmp_path: Path) -> Notary:
    """A ledger of three records, each with its own checkpoint."""
    notary = Notary.open(tmp_path / "keystore")
    for at in (1, 2, 3):
        store = SqliteStore(path, notary=notary)
        await Ledger(store).note(PolicyActivated(at_ns=at, bundle="a"))
        store.close()
    return notary


async def looked_at(path: Path, notary: Notary) -> tuple[Ledger, Inspector]:
    """That ledger as a firewall that starts has looked at it once."""
    store = SqliteStore(path, notary=notary, signing=False)
    ledger = Ledger(store)
    inspector = Inspector(path, notary.verifier, ledger, store, Metrics())
    await inspector.look()
    store.close()
    return ledger, inspector
