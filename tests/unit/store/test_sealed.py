"""A sealed append is covered by a checkpoint from the moment it is durable."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from safebox.firewall.core.checkpoint import read
from safebox.firewall.core.merkle import leaf_hash, root_of
from safebox.firewall.store.notary import Notary
from safebox.firewall.store.sqlite import SqliteStore


def signed(path: Path) -> list[int]:
    with sqlite3.connect(path) as db:
        return [size for (size,) in db.execute("SELECT size FROM checkpoints ORDER BY size")]


async def test_the_checkpoint_is_there_with_the_record_and_vouches_for_all_before_it(tmp_path: Path) -> None:
    path, notary = tmp_path / "ledger.sqlite3", Notary.open(tmp_path / "keystore")
    store = SqliteStore(path, notary=notary)
    records = [b"one", b"two", b"three"]
    plain = store.append(records[:1])
    await plain
    await store.append(records[1:], sealed=True)
    assert signed(path)[-1] == 3
    with sqlite3.connect(path) as db:
        (note,) = db.execute("SELECT note FROM checkpoints WHERE size = 3").fetchone()
    assert read(note, notary.verifier).root == root_of([leaf_hash(each) for each in records])
    await store.append([b"four"], sealed=True)
    assert signed(path)[-1] == 4, "the tree goes on from there"
    store.close()


async def test_what_nobody_may_vouch_for_is_not_sealed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    store = SqliteStore(path, notary=Notary.open(tmp_path / "keystore"), signing=False)
    await store.append([b"one"], sealed=True)
    assert 1 not in signed(path)
    store.signing = True
    await store.append([b"two"], sealed=True)
    assert signed(path)[-1] == 2
    store.close()
