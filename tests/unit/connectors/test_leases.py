"""Leases survive restarts, settle once, and no name leads out of their folder."""

from pathlib import Path

import msgspec
import pytest

from safebox.firewall.connectors.leases import Lease, LeaseBook
from safebox.firewall.connectors.prices import ImagePrice
from safebox.firewall.errors import EffectError

LEASE = Lease(run="run_1", instance="act_1", image="base", minutes=5, price=ImagePrice(1), charged=5)


def test_a_lease_is_found_after_a_restart_and_only_by_its_run(tmp_path: Path) -> None:
    LeaseBook(tmp_path).put(LEASE)
    book = LeaseBook(tmp_path)
    assert book.find("run_1", "act_1") == LEASE
    assert book.find("run_2", "act_1") is None
    assert book.open_ones("run_1") == [LEASE]
    assert book.open_ones("run_") == []


def test_a_settled_lease_is_kept_but_no_longer_open(tmp_path: Path) -> None:
    book = LeaseBook(tmp_path)
    book.put(LEASE)
    settled = msgspec.structs.replace(LEASE, settled_by="act_2", refund=4)
    book.put(settled)
    assert (book.find("run_1", "act_1"), book.open_ones("run_1")) == (settled, [])
    assert [path.name for path in tmp_path.iterdir()] == ["run_1.act_1.json"]


@pytest.mark.parametrize("name", ["../x", "a/b", "a.b", "", "x" * 81, "*"])
def test_a_name_that_is_no_name_finds_nothing_and_writes_nothing(tmp_path: Path, name: str) -> None:
    book = LeaseBook(tmp_path)
    assert book.find("run_1", name) is None
    with pytest.raises(EffectError):
        book.put(msgspec.structs.replace(LEASE, instance=name))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_lease_starts_nothing(tmp_path: Path) -> None:
    book = LeaseBook(tmp_path / "leases")
    (tmp_path / "leases").rmdir()
    with pytest.raises(EffectError):
        book.put(LEASE)
