"""Threat F: checkpoints go to second places, and a ledger that one of them contradicts starts no firewall.

The places are real: files, and an HTTP server on loopback that can be slow, down, or lie.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import shutil
import signal
import sqlite3
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import cast

import pytest

from safebox.firewall.core.checkpoint import read, split
from safebox.firewall.core.record import GENESIS, PolicyActivated, chain, encode_event
from safebox.firewall.errors import ConfigError, LedgerUnavailable, SafeboxError
from safebox.firewall.metrics import Metrics
from safebox.firewall.store import deposits as deposits_module
from safebox.firewall.store import places as places_module
from safebox.firewall.store.deposits import Deposits
from safebox.firewall.store.notary import Notary
from safebox.firewall.store.places import FilePlace, HttpPlace, PlaceUnavailable
from safebox.firewall.store.reader import last_checkpoint
from safebox.firewall.store.sqlite import SqliteStore
from tests.failing import Failing, Patient
from tests.live import Home, home_at, until
from tests.real_parts import require


class Elsewhere:
    """An HTTP server that keeps what it is PUT; `says` and `keeps` make it answer wrongly, `pause` slowly."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}/ledger"
        self.note: bytes | None = None
        self.says: int | None = None
        self.says_to: tuple[str, ...] = ("GET", "PUT")
        self.keeps = True
        self.pause = threading.Event()
        self.pause.set()
        self.asked: list[str] = []

    def answer(self, method: str, body: bytes) -> tuple[int, bytes]:
        self.asked.append(method)
        self.pause.wait(30)
        if self.says is not None and method in self.says_to:
            return self.says, b"no"
        if method == "PUT":
            self.note = body if self.keeps else self.note
            return 201, b""
        return (404, b"nothing yet") if self.note is None else (200, self.note)


@contextmanager
def elsewhere_at(port: int = 0) -> Generator[Elsewhere]:
    class Handler(Failing):
        def do_GET(self) -> None:  # noqa: N802
            self._answer("GET")

        def do_PUT(self) -> None:  # noqa: N802
            self._answer("PUT")

        def _answer(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.answer(*place.answer(method, body))

    with Patient(("127.0.0.1", port), Handler) as server:
        place = Elsewhere(server)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield place
        finally:
            place.pause.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with elsewhere_at() as place:
        yield place


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints go out often, and nobody waits long."""
    monkeypatch.setattr(deposits_module, "FIRST_SECONDS", 0.02)
    monkeypatch.setattr(deposits_module, "DEPOSIT_SECONDS", 0.02)
    monkeypatch.setattr(deposits_module, "PAUSE_MAX_SECONDS", 0.1)
    monkeypatch.setattr(deposits_module, "READ_TRIES", 1)
    monkeypatch.setattr(places_module, "ANSWER_SECONDS", 0.5)


def record(number: int) -> bytes:
    return encode_event(PolicyActivated(at_ns=number, bundle=f"sha256:{number:064}"))


class Firewall:
    """What of a firewall writes and keeps: its store, its key and its second places."""

    def __init__(self, folder: Path, *places: str) -> None:
        self.ledger = folder / "ledger.sqlite3"
        self.notary = Notary.open(folder)
        self.key = self.notary.verifier
        self.deposits = Deposits(places, self.ledger, self.key)
        self.store = SqliteStore(self.ledger, notary=self.notary)
        self.deposits.start(lambda: self.store.seq)

    async def write(self, count: int) -> None:
        for number in range(self.store.seq, self.store.seq + count):
            await self.store.append([record(number)])

    def close(self) -> None:
        self.store.close()
        self.deposits.close()

    def kept_everywhere(self) -> bool:
        return not any(deposit.behind_records() for deposit in self.deposits.all)


def life(folder: Path, *places: str, records: int = 5) -> None:
    """A firewall starts, writes, has its checkpoints kept, and ends."""

    async def live() -> None:
        firewall = await asyncio.to_thread(Firewall, folder, *places)
        await firewall.write(records)
        firewall.close()

    asyncio.run(live())


def rewrite(folder: Path) -> None:
    """What somebody does who holds the ledger and the key: another history, as well signed as the true one."""
    ledger, notary = folder / "ledger.sqlite3", Notary.open(folder)
    with closing(sqlite3.connect(ledger, isolation_level=None)) as db:
        head = GENESIS
        for seq, body in db.execute("SELECT seq, body FROM events ORDER BY seq").fetchall():
            forged = body if seq != 3 else record(99)
            head = chain(head, forged)
            notary.add(forged)
            db.execute("UPDATE events SET body = ?, hash = ? WHERE seq = ?", (forged, head, seq))
        db.execute("DELETE FROM checkpoints")
        db.execute("INSERT INTO checkpoints VALUES (?, ?)", (notary.size, notary.checkpoint()))


def cut(folder: Path, last: int) -> None:
    ledger, notary = folder / "ledger.sqlite3", Notary.open(folder)
    with closing(sqlite3.connect(ledger, isolation_level=None)) as db:
        db.execute("DELETE FROM events WHERE seq > ?", (last,))
        db.execute("DELETE FROM checkpoints")
        for (body,) in db.execute("SELECT body FROM events ORDER BY seq"):
            notary.add(body)
        db.execute("INSERT INTO checkpoints VALUES (?, ?)", (notary.size, notary.checkpoint()))


def refused(folder: Path, *places: str) -> SafeboxError:
    before = {path.name: path.read_bytes() for path in folder.glob("ledger.sqlite3")}
    with pytest.raises(SafeboxError) as caught:
        Firewall(folder, *places)
    assert caught.value.remedy
    assert before == {path.name: path.read_bytes() for path in folder.glob("ledger.sqlite3")}, "nothing was signed"
    return caught.value


# --- a file -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
async def test_a_file_gets_one_signed_note_after_another_and_only_grows(tmp_path: Path) -> None:
    file = tmp_path / "kept.notes"
    before = ""
    for _ in range(3):
        firewall = await asyncio.to_thread(Firewall, tmp_path, str(file))
        await firewall.write(4)
        await asyncio.to_thread(until, firewall.kept_everywhere, "no checkpoint was kept")
        firewall.close()
        text = file.read_text()
        assert text.startswith(before)
        assert len(text) > len(before)
        before = text
    notes, rest = split(before)
    sizes = [read(note, Notary.open(tmp_path).verifier).size for note in notes]
    assert rest == ""
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == 12
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("quick")
def test_a_firewall_that_ends_at_once_leaves_its_last_checkpoint(tmp_path: Path, elsewhere: Elsewhere) -> None:
    file = tmp_path / "kept.notes"
    life(tmp_path, str(file), elsewhere.url, records=1)
    note = last_checkpoint(tmp_path / "ledger.sqlite3") or ""
    assert file.read_text().endswith(note)
    assert elsewhere.note == note.encode()


@pytest.mark.usefixtures("quick")
def test_a_rewritten_history_starts_no_firewall_though_its_signatures_are_good(
    tmp_path: Path, elsewhere: Elsewhere
) -> None:
    file = str(tmp_path / "kept.notes")
    life(tmp_path, file, elsewhere.url)
    rewrite(tmp_path)
    for place in (file, elsewhere.url):
        error = refused(tmp_path, place)
        assert isinstance(error, LedgerUnavailable)
        assert "was rewritten" in error.cause
        assert place in error.cause
    life(tmp_path)  # without a second place, nobody knows


@pytest.mark.usefixtures("quick")
def test_a_note_added_by_the_forger_hides_none_of_the_earlier_ones(tmp_path: Path) -> None:
    file = tmp_path / "kept.notes"
    life(tmp_path, str(file))
    rewrite(tmp_path)
    life(tmp_path, records=1)
    with file.open("a") as kept:
        kept.write(last_checkpoint(tmp_path / "ledger.sqlite3") or "")
    assert "was rewritten" in refused(tmp_path, str(file)).cause


@pytest.mark.usefixtures("quick")
def test_a_ledger_that_was_cut_or_is_gone_starts_no_firewall_until_it_is_restored(
    tmp_path: Path, elsewhere: Elsewhere
) -> None:
    file, ledger = str(tmp_path / "kept.notes"), tmp_path / "ledger.sqlite3"
    life(tmp_path, file, elsewhere.url)
    whole = ledger.read_bytes()
    cut(tmp_path, 3)
    for place in (file, elsewhere.url):
        assert "lacks records" in refused(tmp_path, place).cause
    ledger.unlink()
    assert "lacks records" in refused(tmp_path, file).cause
    ledger.write_bytes(whole)
    life(tmp_path, file, elsewhere.url)


@pytest.mark.usefixtures("quick")
def test_what_is_not_this_ledgers_checkpoints_is_refused(tmp_path: Path) -> None:
    other, own = tmp_path / "other", tmp_path / "own"
    others = tmp_path / "others.notes"
    life(other, str(others))
    life(own)
    for content in (others.read_text(), "hello\n", "\n", "a\n1\nx\n\n— safebox AAAA\n"):
        file = tmp_path / "kept.notes"
        file.write_text(content)
        error = refused(own, str(file))
        assert isinstance(error, ConfigError), content
        assert "something else" in error.cause
        assert file.read_text() == content
    file.write_bytes(b"\xff\xfe")
    assert "holds no checkpoints" in refused(own, str(file)).cause
    assert "can't be read" in refused(own, str(tmp_path)).cause


@pytest.mark.usefixtures("quick")
def test_a_note_that_a_crash_cut_off_is_finished_and_nothing_is_taken_away(tmp_path: Path) -> None:
    file = tmp_path / "kept.notes"
    life(tmp_path, str(file))
    life(tmp_path, str(file))
    whole = file.read_text()
    last = split(whole)[0][-1]
    for length in (1, 10, len(last) // 2, len(last) - 1):
        torn = whole[: len(whole) - len(last) + length]
        file.write_text(torn)
        life(tmp_path, str(file), records=0)
        assert file.read_text() == whole, length
    file.write_text(whole + "safebox/ledger/of another")
    assert "something else" in refused(tmp_path, str(file)).cause


@pytest.mark.usefixtures("quick")
async def test_a_file_that_is_cut_or_replaced_while_the_firewall_runs_is_not_written_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "kept.notes"
    await asyncio.to_thread(life, tmp_path, str(file))
    for harm in (lambda: file.write_text(""), file.unlink):
        whole = file.read_text()
        firewall = await asyncio.to_thread(Firewall, tmp_path, str(file))
        harm()
        with caplog.at_level(logging.ERROR):
            await firewall.write(3)
            await asyncio.to_thread(until, lambda: "was cut or replaced" in caplog.text, "nobody said so")
        firewall.close()
        assert firewall.deposits.all[0].behind_records() == firewall.store.seq - 5
        assert not file.exists() or file.read_text() == ""
        file.write_text(whole)
        caplog.clear()


def test_a_full_disk_leaves_a_note_that_is_finished_when_there_is_room(tmp_path: Path) -> None:
    """A limit on the size of files is a full disk for one process."""
    place = FilePlace(tmp_path / "kept.notes")
    place.keep("a" * 100 + "\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, before[1]))
    try:
        with pytest.raises(PlaceUnavailable, match="can't be written"):
            place.keep("b" * 100 + "\n")
        with pytest.raises(PlaceUnavailable):
            place.keep("b" * 100 + "\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    place.keep("c" * 100 + "\n")
    lines = (tmp_path / "kept.notes").read_text().splitlines()
    assert lines == ["a" * 100, "b" * 100, "c" * 100]


# --- over HTTP --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
async def test_nothing_waits_for_a_place_that_hangs_and_it_catches_up(tmp_path: Path, elsewhere: Elsewhere) -> None:
    firewall = await asyncio.to_thread(Firewall, tmp_path, elsewhere.url)
    elsewhere.pause.clear()
    await firewall.write(1)
    await asyncio.to_thread(until, lambda: "PUT" in elsewhere.asked, "nothing was sent")
    await firewall.write(50)
    (deposit,) = firewall.deposits.all
    assert firewall.store.seq == 51, "all of it durable while the place hangs"
    assert deposit.behind_records() == 51
    assert deposit.behind_seconds() > 0
    elsewhere.pause.set()
    await asyncio.to_thread(until, firewall.kept_everywhere, "it didn't catch up")
    await asyncio.to_thread(until, lambda: deposit.behind_seconds() == 0, "it is still called behind")
    firewall.close()


@pytest.mark.usefixtures("quick")
async def test_a_place_that_goes_down_is_tried_again_until_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with elsewhere_at() as place:
        firewall = await asyncio.to_thread(Firewall, tmp_path, place.url)
        await firewall.write(1)
        await asyncio.to_thread(until, firewall.kept_everywhere, "nothing was kept")
        port = int(place.url.rpartition(":")[2].partition("/")[0])
    with caplog.at_level(logging.INFO):
        await firewall.write(5)
        await asyncio.to_thread(until, lambda: "not kept elsewhere" in caplog.text, "nobody said so")
        with elsewhere_at(port) as place:
            await asyncio.to_thread(until, firewall.kept_everywhere, "it didn't catch up")
            assert place.note == (last_checkpoint(firewall.ledger) or "").encode()
            firewall.close()
    assert caplog.text.count("not kept elsewhere") == 1, "the step is told, not each try"
    assert "again" in caplog.text


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("says", [500, 403, 409, 302])
async def test_a_place_that_refuses_has_kept_nothing(
    tmp_path: Path, elsewhere: Elsewhere, says: int, caplog: pytest.LogCaptureFixture
) -> None:
    firewall = await asyncio.to_thread(Firewall, tmp_path, elsewhere.url)
    elsewhere.says, elsewhere.says_to = says, ("PUT",)
    await firewall.write(2)
    await asyncio.to_thread(until, lambda: elsewhere.asked.count("PUT") > 1, "it wasn't tried again")
    assert firewall.deposits.all[0].behind_records() == 2
    assert f"answered {says}" in caplog.text
    firewall.close()


@pytest.mark.usefixtures("quick")
async def test_a_place_that_says_it_kept_a_note_and_did_not_is_found_out(tmp_path: Path, elsewhere: Elsewhere) -> None:
    firewall = await asyncio.to_thread(Firewall, tmp_path, elsewhere.url)
    elsewhere.keeps = False
    await firewall.write(2)
    await asyncio.to_thread(until, lambda: elsewhere.asked.count("PUT") > 1, "it wasn't tried again")
    assert firewall.deposits.all[0].behind_records() == 2
    elsewhere.note = (last_checkpoint(firewall.ledger) or "").replace("\n2\n", "\n3\n").encode()
    await asyncio.to_thread(until, lambda: elsewhere.asked.count("PUT") > 3, "it wasn't tried again")
    assert firewall.deposits.all[0].behind_records() == 2
    elsewhere.keeps = True
    await asyncio.to_thread(until, firewall.kept_everywhere, "it didn't catch up")
    firewall.close()


@pytest.mark.usefixtures("quick")
def test_a_place_that_cannot_be_read_starts_no_firewall(tmp_path: Path, elsewhere: Elsewhere) -> None:
    life(tmp_path, elsewhere.url)
    elsewhere.says = 503
    error = refused(tmp_path, elsewhere.url)
    assert "503" in error.cause
    assert "--checkpoint-to" in error.remedy
    elsewhere.says = None
    elsewhere.pause.clear()
    assert "did not answer in 0.5 s" in refused(tmp_path, elsewhere.url).cause
    elsewhere.pause.set()
    elsewhere.note = b"x" * 1000
    assert "something else" in refused(tmp_path, elsewhere.url).cause


def test_a_hiccup_of_a_place_does_not_keep_a_firewall_from_starting(
    tmp_path: Path, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deposits_module, "FIRST_SECONDS", 0.02)
    elsewhere.says = 503
    threading.Timer(0.5, lambda: setattr(elsewhere, "says", None)).start()
    life(tmp_path, elsewhere.url)
    assert elsewhere.note is not None


@pytest.mark.parametrize("url", ["ftp://host/x", "http://", "https:///x", "file:///etc/passwd"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    assert "http" in refused(tmp_path, url).remedy


def test_a_password_of_an_address_is_in_no_message(tmp_path: Path, elsewhere: Elsewhere) -> None:
    place = HttpPlace(elsewhere.url.replace("http://", "http://me:secret@") + "?token=hidden")
    elsewhere.says = 401
    with pytest.raises(PlaceUnavailable) as caught:
        place.read()
    assert "401" in caught.value.cause
    assert not {"secret", "hidden"} & set(caught.value.cause.replace("@", " ").replace("=", " ").split())


@pytest.mark.usefixtures("quick")
async def test_how_far_each_place_is_behind_is_a_metric(tmp_path: Path, elsewhere: Elsewhere) -> None:
    firewall, metrics = (
        await asyncio.to_thread(Firewall, tmp_path, str(tmp_path / "kept.notes"), elsewhere.url),
        Metrics(),
    )
    metrics.checkpoints_kept(firewall.deposits.all)
    elsewhere.says = 500
    await firewall.write(7)

    def value(name: str, place: str) -> float | None:
        return metrics.registry.get_sample_value(f"safebox_checkpoint_behind_{name}", {"place": place})

    await asyncio.to_thread(until, lambda: value("records", "1") == 0, "the file isn't up to date")
    assert value("records", "2") == 7
    await asyncio.to_thread(until, lambda: (value("seconds", "2") or 0) > 0, "the address isn't behind")
    assert b'safebox_checkpoint_behind_records{place="2"} 7.0' in metrics.render()
    firewall.close()


# --- the whole program ------------------------------------------------------------------------------------------------


@pytest.fixture
def home(short_path: Path) -> Iterator[Home]:
    require("bwrap")
    with home_at(short_path / "home") as home:
        yield home


def test_a_firewall_keeps_checkpoints_elsewhere_and_refuses_a_ledger_that_contradicts_them(
    home: Home, tmp_path: Path, elsewhere: Elsewhere
) -> None:
    file = tmp_path / "kept.notes"
    options = ("--engine", "bwrap", "--checkpoint-to", str(file), "--checkpoint-to", elsewhere.url)
    firewall = home.serve(*options)
    assert elsewhere.url in firewall.out
    until(lambda: file.exists() and split(file.read_text())[0], "no checkpoint was kept")
    firewall.process.terminate()
    assert firewall.end().status == 0
    assert file.read_text().endswith(cast("bytes", elsewhere.note).decode())
    for place in (str(file), elsewhere.url):
        done = home("audit", "verify", "--checkpoint", place)
        assert (done.status, "complete    it has all records" in done.out) == (0, True), done
    shutil.copytree(home.path / "keystore", tmp_path / "forger")
    shutil.copy(home.ledger, tmp_path / "forger")
    cut(tmp_path / "forger", 0)
    shutil.copy(tmp_path / "forger" / "ledger.sqlite3", home.ledger)
    done = home("serve", *options)
    assert done.status == LedgerUnavailable.exit_status
    assert "lacks records that were there" in done.err
    assert "audit verify --checkpoint" in done.err
    done = home("audit", "verify", "--checkpoint", str(file))
    assert (done.status, "INCOMPLETE" in done.out) == (7, True), done
