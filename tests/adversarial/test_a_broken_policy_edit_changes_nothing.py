"""A broken policy edit changes nothing: the last good bundle stays in force, loudly; a good edit acts soon."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from safebox.firewall.engines.reload import Reload, ReloadingEngine
from safebox.firewall.engines.validate import Checked, check
from safebox.firewall.errors import PolicyUnavailable
from tests.unit.policy import cases

PATIENCE = 15.0
"""Two shared cores may be busy; how long it really takes is measured, not asserted here."""

Make = Callable[..., "Watched"]


class Watched:
    """A reloading engine over an editable copy of the pack, and what it told."""

    def __init__(self, *folders: Path) -> None:
        self.told: list[Reload] = []
        self.engine = ReloadingEngine(folders, observe=self.told.append)

    async def until(self, condition: Callable[[], bool]) -> float:
        started = time.perf_counter()
        while not condition():
            assert time.perf_counter() - started < PATIENCE, self.told
            await asyncio.sleep(0.02)
        return time.perf_counter() - started

    async def verdict(self, tool: str = "email.send") -> str:
        return (await self.engine.decide(cases.encode(cases.good()[tool]))).verdict


@pytest.fixture(autouse=True)
def engines_end_here() -> Iterator[None]:
    """An engine may end only in its thread; the next policy is checked in another, which may collect garbage."""
    yield
    gc.collect()


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[Watched] = []

    def build(*folders: Path) -> Watched:
        made.append(Watched(*folders))
        return made[-1]

    yield build
    for watched in made:
        await watched.engine.stop()


def limits(pack: Path, old: str, new: str) -> None:
    path = pack / "data/limits/data.json"
    path.write_text(path.read_text().replace(old, new))


async def test_an_edited_number_acts(make: Make, tmp_path: Path) -> None:
    pack = cases.copy_pack(tmp_path)
    watched = make(pack)
    await watched.engine.start()
    assert await watched.verdict() == "allow"
    before = watched.engine.bundle
    limits(pack, '"denials_in_ten_minutes": 5', '"denials_in_ten_minutes": 0')
    await watched.until(lambda: watched.engine.bundle != before)
    assert await watched.verdict() == "deny"
    assert [reload.result for reload in watched.told] == ["activated", "activated"]


async def test_a_broken_edit_keeps_the_last_good_bundle_and_says_so(make: Make, tmp_path: Path) -> None:
    pack = cases.copy_pack(tmp_path)
    watched = make(pack)
    await watched.engine.start()
    good = watched.engine.bundle
    main = pack / "safebox/main/main.rego"
    text = main.read_text()
    main.write_text(text + "\nbroken if {")
    await watched.until(lambda: watched.engine.failing is not None)
    assert watched.engine.bundle == good
    assert await watched.verdict() == "allow"
    assert watched.engine.health().ready
    assert "safebox/main/main.rego" in watched.engine.health().detail
    assert watched.told[-1].result == "refused"
    main.write_text(text)
    await watched.until(lambda: watched.engine.failing is None)
    assert watched.engine.bundle == good


async def test_a_deleted_pack_keeps_the_last_good_bundle(make: Make, tmp_path: Path) -> None:
    pack = cases.copy_pack(tmp_path)
    watched = make(pack)
    await watched.engine.start()
    pack.rename(tmp_path / "elsewhere")
    await watched.until(lambda: watched.engine.failing is not None)
    assert await watched.verdict() == "allow"


async def test_without_a_good_bundle_nothing_is_decided_until_there_is_one(make: Make, tmp_path: Path) -> None:
    pack = cases.copy_pack(tmp_path)
    main = pack / "safebox/main/main.rego"
    text = main.read_text()
    main.write_text("package safebox.main\n\ndecision := true\n")
    watched = make(pack)
    await watched.engine.start()
    assert not watched.engine.health().ready
    assert watched.engine.bundle == ""
    with pytest.raises(PolicyUnavailable) as caught:
        await watched.verdict()
    assert caught.value.kind == "missing"
    main.write_text(text)
    await watched.until(lambda: watched.engine.health().ready)
    assert await watched.verdict() == "allow"


async def test_an_engine_that_was_never_started_decides_nothing(make: Make, tmp_path: Path) -> None:
    watched = make(cases.copy_pack(tmp_path))
    assert not watched.engine.health().ready
    with pytest.raises(PolicyUnavailable):
        await watched.verdict()


async def test_a_new_file_in_an_overlay_acts_and_its_removal_too(make: Make, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    watched = make(cases.copy_pack(tmp_path), site)
    await watched.engine.start()
    rule = site / "safebox/site/email/email.rego"
    rule.parent.mkdir(parents=True)
    rule.write_text('package safebox.site.email\n\ndeny contains {"code": "site.no", "message": "No."}\n')
    before = watched.engine.bundle
    await watched.until(lambda: watched.engine.bundle != before)
    assert (await watched.verdict(), await watched.verdict("wallet.transfer")) == ("deny", "allow")
    rule.unlink()
    await watched.until(lambda: watched.engine.bundle == before)
    assert await watched.verdict() == "allow"


async def test_an_edit_that_keeps_size_and_time_is_seen(make: Make, tmp_path: Path) -> None:
    pack = cases.copy_pack(tmp_path)
    path = pack / "data/limits/data.json"
    watched = make(pack)
    await watched.engine.start()
    before, state = watched.engine.bundle, path.stat()
    limits(pack, '"denials_in_ten_minutes": 5', '"denials_in_ten_minutes": 0')
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    await watched.until(lambda: watched.engine.bundle != before)


async def test_a_touched_file_changes_nothing(make: Make, tmp_path: Path) -> None:
    pack = cases.copy_pack(tmp_path)
    watched = make(pack)
    await watched.engine.start()
    before = watched.engine.bundle
    (pack / "data/limits/data.json").touch()
    await watched.until(lambda: len(watched.told) > 1)
    assert watched.told[-1] == Reload("unchanged", before, None)


async def test_decisions_go_on_while_a_candidate_is_checked(make: Make, tmp_path: Path) -> None:
    pack = cases.copy_pack(tmp_path)
    watched = make(pack)
    await watched.engine.start()
    before, asked = watched.engine.bundle, 0
    limits(pack, '"denials_in_ten_minutes": 5', '"denials_in_ten_minutes": 4')
    while watched.engine.bundle == before:
        assert await watched.verdict() == "allow"
        asked += 1
        await asyncio.sleep(0.01)
    assert asked > 3


async def test_a_watch_that_ended_is_said_not_hidden(make: Make, tmp_path: Path) -> None:
    watched = make(cases.copy_pack(tmp_path))
    await watched.engine.start()
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "policy-reload"]
    task.cancel()
    await watched.until(lambda: watched.engine.failing is not None)
    assert "no longer followed" in watched.engine.health().detail
    assert await watched.verdict() == "allow"


async def test_a_check_that_began_before_counts_for_no_other_bundle_than_the_one_it_looked_at(tmp_path: Path) -> None:
    pack = cases.copy_pack(tmp_path)
    good = check([pack])
    assert good.problem is None
    (pack / "safebox/loop.rego").write_text("package safebox.loop\n\na if b\n\nb if a\n")
    engine = ReloadingEngine([pack], checked=lambda: good)
    await engine.start()
    assert not engine.health().ready
    await engine.stop()


async def test_a_check_that_began_before_is_believed_once_and_what_it_could_not_do_is_done(tmp_path: Path) -> None:
    pack = cases.copy_pack(tmp_path)
    found = Checked(check([pack]).bundle, "it is too slow")
    refused = ReloadingEngine([pack], checked=lambda: found)
    await refused.start()
    assert refused.failing == "it is too slow"
    await refused.stop()

    def gone() -> Checked:
        raise PolicyUnavailable("the folder was empty then", kind="missing")

    again = ReloadingEngine([pack], checked=gone)
    await again.start()
    assert again.health().ready
    await again.stop()
