"""What the ledger may count on from every store, each held to it: the durable one and the twin of the tests.

To put another store under the contract, add its builder to `BUILDERS`: it takes a folder and gives a store of what was
kept there before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from safebox.firewall.core.record import encode_event
from safebox.firewall.drill.clock import NOW_NS
from safebox.firewall.errors import LedgerUnavailable
from safebox.firewall.ledger import Ledger, Store
from safebox.firewall.store.sqlite import SqliteStore
from tests.twins import MANDATE, MemoryStore, run_started

Build = Callable[[], Store]


def _sqlite(folder: Path) -> Build:
    return lambda: SqliteStore(folder / "ledger.sqlite3")


def _memory(folder: Path) -> Build:
    kept: list[bytes] = []

    def build() -> MemoryStore:
        store = MemoryStore()
        store.records = kept
        return store

    return build


BUILDERS: dict[str, Callable[[Path], Build]] = {"sqlite": _sqlite, "memory": _memory}


@pytest.fixture(params=sorted(BUILDERS))
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Build]:
    """Builds the store over what is kept; closes it again."""
    opened: list[Store] = []
    make = BUILDERS[request.param](tmp_path)

    def once() -> Store:
        while opened:
            opened.pop().close()
        opened.append(make())
        return opened[-1]

    yield once
    for store in opened:
        store.close()


async def test_a_new_store_is_empty(build: Build) -> None:
    assert list(build().read()) == []


async def test_what_was_appended_is_read_back_in_order_by_the_next(build: Build) -> None:
    store = build()
    await store.append([b"1", b"2"])
    await store.append([b"3"])
    assert list(build().read()) == [b"1", b"2", b"3"]


async def test_appends_keep_the_order_in_which_they_were_asked_for(build: Build) -> None:
    store = build()
    await asyncio.gather(*(store.append([b"%d" % number]) for number in range(64)))
    assert list(build().read()) == [b"%d" % number for number in range(64)]


async def test_any_bytes_are_kept_as_they_are(build: Build) -> None:
    records = [b"", b"\0", bytes(range(256)), b"x" * 1_000_000]
    await build().append(records)
    assert list(build().read()) == records


async def test_a_ledger_over_it_knows_the_same_after_a_restart(build: Build) -> None:
    ledger = Ledger(build())
    await ledger.note(run_started("run_1", MANDATE, NOW_NS))
    again = Ledger(build())
    assert again.book("run_1").started == ledger.book("run_1").started
    assert again.books.last_ns == NOW_NS


async def test_what_was_appended_is_there_before_it_is_acknowledged(build: Build) -> None:
    store = build()
    await store.append([encode_event(run_started("run_1", MANDATE, NOW_NS))])
    assert len(list(store.read())) == 1


async def test_an_append_is_made_whether_or_not_anybody_waits_for_it(build: Build) -> None:
    store = build()
    nobody_waits = store.append([b"1"])
    await store.append([b"2"])
    assert list(build().read()) == [b"1", b"2"]
    await nobody_waits


async def test_the_twin_can_fail_the_way_the_real_one_does() -> None:
    store = MemoryStore()
    store.broken = True
    with pytest.raises(LedgerUnavailable):
        await store.append([b"lost"])
    assert list(store.read()) == []
