"""Laws 2 and 13, on whole firewalls: each fault is real, the agent is told a clear no in bounded time, operators see
it, and once it is gone the next call is done, without anybody starting anything again.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

import pytest

from safebox.firewall.keystore import Keystore
from tests.attached import Attached, AttachedRun, attached, letter, site
from tests.disks import fill, immutable, read_only, small_disk
from tests.live import Answered, Home, halt, home_at, http, until
from tests.real_parts import require

PAYEE = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
PAYER = f"""
[agent]
name = "payer"
command = ["true"]
purpose = "Pay one payee."
task = "Pay."
expires = "1h"
[wallet]
chain = "dev"
budget = "1 ETH"
per_transfer = "0.02 ETH"
max_fee_per_gas = "100 gwei"
[wallet.payees]
acme = "{PAYEE}"
"""
LARGE = "a line of the letter\n" * 5_000
"""More than any page that may be left on a full disk."""


@pytest.fixture
def home(short_path: Path) -> Iterator[Home]:
    require("bwrap")
    with home_at(short_path / "h") as made:
        yield made


def no(answer: Answered, code: str, status: int = 503) -> None:
    """It is this no, and the agent is told when to ask again."""
    assert (answer.status, answer.code) == (status, code), answer
    if status == 503:
        assert int(answer.headers["retry-after"]) > 0


def not_ready(rig: Attached, why: str) -> bool:
    answer = http(rig.home.status()["metrics"].replace("/metrics", "/readyz"))
    return answer.status == 503 and why in str(answer.document["reasons"])


def nothing_open(rig: Attached) -> bool:
    """Every allowed action has an outcome in the ledger."""
    allowed = {each["action_id"] for each in rig.home.events("decided") if each["answer"]["verdict"] == "allow"}
    return allowed == {each["action_id"] for each in rig.home.events("settled")}


@pytest.fixture
def disk(short_path: Path) -> Iterator[Path]:
    with small_disk(short_path / "d", "8m") as made:
        yield made


def test_a_full_disk(disk: Path) -> None:
    require("bwrap")
    with home_at(disk / "h") as home, attached(home) as rig:
        run, pid = rig.start(), rig.pid
        assert run.mail("before").status == 200
        filler = fill(disk)
        for _ in range(3):
            no(run.mail(LARGE), "firewall.ledger_unavailable")
        assert rig.metric("safebox_ledger_failures_total", cause="full") >= 3
        filler.unlink()
        until(lambda: run.mail(LARGE).status == 200, "it does not recover")
        assert rig.pid == pid
        until(lambda: nothing_open(rig), "an outcome is still owed")
        home.verified()


HOLDER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(ledger: Path) -> Generator[None]:
    """Another process holds the database's write lock."""
    command = [sys.executable, "-c", HOLDER, str(ledger)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield


def test_a_locked_database(home: Home) -> None:
    with attached(home) as rig:
        run, pid = rig.start(), rig.pid
        with locked(home.ledger):
            no(run.mail("locked"), "firewall.ledger_unavailable")
            assert rig.metric("safebox_ledger_failures_total", cause="busy") >= 1
        assert run.mail("unlocked").status == 200
        assert rig.pid == pid
        home.verified()


def test_a_database_that_cannot_be_written_any_more(home: Home) -> None:
    with attached(home) as rig:
        run, pid = rig.start(), rig.pid
        assert run.mail("before").status == 200
        with immutable(home.ledger, home.ledger.with_name("ledger.sqlite3-wal")):
            no(run.mail("read-only"), "firewall.ledger_unavailable")
            assert rig.metric("safebox_port_failures_total", port="ledger") >= 1
        assert run.mail("after").status == 200
        assert rig.pid == pid
        until(lambda: nothing_open(rig), "an outcome is still owed")
        home.verified()


def test_a_firewall_that_dies_on_a_read_only_disk_is_back_when_it_can_be_written(home: Home) -> None:
    with attached(home) as rig:
        run, pid = rig.start(), rig.pid
        with read_only(home.path):
            os.kill(pid, signal.SIGKILL)
            until(lambda: rig.firewall.err.count("starting it again") > 2, rig.firewall.err)
            assert "Read-only file system" in rig.firewall.err
        rig.back(pid)
        assert run.mail("after").status == 200
        assert rig.firewall.process.poll() is None
        home.verified()


class Node:
    """A chain in a process of the test's own, which may be stopped."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.process = process
        self.url = url

    def stop(self) -> None:
        halt(self.process.pid)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def node(kind: str, folder: Path, owner: str) -> Generator[Node]:
    standin = [sys.executable, "-m", "safebox.firewall.standins.chain", "--state", str(folder)]
    command = (
        [*standin, "--fund", f"{owner}={10**21}"]
        if kind == "standin"
        else [require("anvil"), "--port", "0", "--chain-id", "31337", "--accounts", "1"]
    )
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process,
        ExitStack() as at_end,
    ):
        assert process.stdout is not None
        at_end.callback(process.kill)
        at_end.callback(process.send_signal, signal.SIGCONT)
        if kind == "standin":
            yield Node(process, json.loads(process.stdout.readline())["url"])
        else:
            line = next(line for line in process.stdout if b"Listening on" in line)
            made = Node(process, "http://" + line.decode().split()[-1])
            threading.Thread(target=process.stdout.read, daemon=True).start()
            body = {"jsonrpc": "2.0", "id": 1, "method": "anvil_setBalance", "params": [owner, hex(10**21)]}
            assert http(made.url, json.dumps(body).encode()).status == 200
            yield made


def pay(run: AttachedRun, key: str) -> Answered:
    return run.call("wallet.transfer", {"to": PAYEE, "amount": "0.01 ETH"}, key)


@pytest.mark.parametrize("kind", ["standin", "anvil"])
def test_a_chain_that_stands_still(home: Home, short_path: Path, kind: str) -> None:
    owner = Keystore.open(home.path / "keystore", home.path / "passphrase").owner_address
    with node(kind, short_path / "chain", owner) as chain, attached(home, chain_url=chain.url) as rig:
        payer, other, pid = rig.start(PAYER), rig.start(), rig.pid
        assert pay(payer, "before").status == 200
        chain.stop()
        with ThreadPoolExecutor(1) as pool:
            paying = pool.submit(pay, payer, "stopped")
            assert other.mail("meanwhile").status == 200
            assert not paying.done(), "nobody waits for another's chain"
            no(paying.result(30), "firewall.facts_unavailable")
        assert rig.metric("safebox_port_failures_total", port="facts") >= 1
        until(lambda: rig.metric("safebox_connector_up", connector="chain") == 0, "nobody sees that it is down", 20)
        chain.go_on()
        until(lambda: pay(payer, "after").status == 200, "it does not recover")
        until(lambda: rig.metric("safebox_connector_up", connector="chain") == 1, "nobody sees that it is up", 20)
        assert pay(payer, "stopped").status == 200, "the key of a no that was no decision is free"
        assert rig.pid == pid
        home.verified()


class Relay(socketserver.ThreadingTCPServer):
    """A mail relay that can hang: before it greets, or after it has got the content."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.hang: Literal["", "greeting", "content"] = ""
        self.over = threading.Event()
        self.got: list[bytes] = []

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.server_address[1]}"


class Conversation(socketserver.StreamRequestHandler):
    @property
    def relay(self) -> Relay:
        assert isinstance(self.server, Relay)
        return self.server

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            if self.relay.hang == "greeting":
                self.relay.over.wait()
                return
            self.say(b"220 relay")
            while line := self.rfile.readline().strip().upper():
                if line == b"DATA":
                    self.say(b"354 go on")
                    self.content()
                else:
                    self.say(b"221 bye" if line == b"QUIT" else b"250 fine")

    def content(self) -> None:
        lines: list[bytes] = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line)
        self.relay.got.append(b"".join(lines))
        if self.relay.hang == "content":
            self.relay.over.wait()
        self.say(b"250 taken")

    def say(self, line: bytes) -> None:
        self.wfile.write(line + b"\r\n")


@pytest.fixture
def relay() -> Iterator[Relay]:
    with Relay() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("hang", "code", "status", "outcome"),
    [
        ("greeting", "firewall.effect_failed", 502, "failed"),
        ("content", "firewall.effect_unknown", 504, "unknown"),
    ],
)
def test_a_mail_relay_that_accepts_and_hangs(
    home: Home, relay: Relay, hang: Literal["greeting", "content"], code: str, status: int, outcome: str
) -> None:
    with attached(home, smtp_url=relay.url) as rig:
        run, other, pid = rig.start(), rig.start(), rig.pid
        assert run.mail("before").status == 200
        relay.hang = hang
        with ThreadPoolExecutor(1) as pool:
            hanging = pool.submit(run.mail, "hangs", "k")
            until(lambda: len(rig.home.events("decided")) > 1, "it is not decided")
            assert other.call("email.send", {**letter("x"), "to": ["stranger@example.org"]}).status == 403
            assert not hanging.done(), "nobody waits for another's relay"
            no(hanging.result(60), code, status)
        assert rig.metric("safebox_effects_total", connector="mail", status=outcome) == 1
        up = 0 if hang == "greeting" else 1
        until(lambda: rig.metric("safebox_connector_up", connector="mail") == up, "its health is told wrong", 20)
        relay.hang = ""
        relay.over.set()
        assert run.mail("after").status == 200
        again = run.mail("hangs", "k")
        assert (again.status, again.code) == (status, code), "and it is not sent a second time"
        assert sum(b"hangs" in mail for mail in relay.got) == (hang == "content")
        assert rig.pid == pid
        home.verified()


PANIC = """
letters := split(input.action.args.body, "")

deny contains {"code": "site.panic", "message": "This is never said."} if {
	startswith(input.action.args.body, "panic")
	object.subset(array.slice(letters, 0, 0), array.slice(letters, 0, 0))
}
"""
"""The engine's own fault: it takes windows of no length."""


def test_an_engine_that_panics(home: Home) -> None:
    with attached(home, *site(home.path.parent / "site", PANIC)) as rig:
        run, other, pid = rig.start(), rig.start(), rig.pid
        for number in range(3):
            no(run.mail("panic"), "firewall.policy_unavailable")
            assert other.mail("meanwhile").status == 200
            assert rig.metric("safebox_engine_errors_total", kind="panic") == number + 1
        assert run.mail("calm").status == 200
        assert rig.pid == pid
        assert rig.home.events("stalled") == []
        home.verified()


WORD, OTHER = b"peculiar", b"Peculiar"


def exchange(home: Home, old: bytes, new: bytes) -> None:
    """Change a word of a record wherever the database's files have it."""
    places = 0
    for path in (home.ledger, home.ledger.with_name("ledger.sqlite3-wal")):
        content = path.read_bytes() if path.exists() else b""
        for found in re.finditer(old, content):
            write(path, found.start(), new)
            places += 1
    assert places


def write(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def test_a_record_changed_under_a_running_firewall(home: Home) -> None:
    with attached(home) as rig:
        run, pid = rig.start(), rig.pid
        assert run.mail(WORD.decode()).status == 200
        until(lambda: rig.metric("safebox_ledger_verified") == 1, "it was never verified")
        exchange(home, WORD, OTHER)
        until(lambda: rig.metric("safebox_ledger_verified") == 0, "nobody sees it", 30)
        no(run.mail("now"), "firewall.ledger_unavailable")
        assert rig.metric("safebox_ledger_failures_total", cause="corrupt") >= 1
        assert not_ready(rig, "safebox audit verify")
        assert "run safebox audit verify" in rig.firewall.err
        assert home("audit", "verify").status == 7
        exchange(home, OTHER, WORD)
        until(lambda: run.mail("again").status == 200, "it does not recover", 30)
        assert rig.pid == pid
        home.verified()


def test_a_ledger_taken_away_from_a_running_firewall(home: Home) -> None:
    with attached(home) as rig:
        run = rig.start()
        away = home.ledger.rename(home.ledger.with_name("away"))
        until(lambda: rig.metric("safebox_ledger_verified") == 0, "nobody sees it", 30)
        no(run.mail("now"), "firewall.ledger_unavailable")
        away.rename(home.ledger)
        until(lambda: run.mail("again").status == 200, "it does not recover", 30)
        home.verified()


def stopped(home: Home) -> None:
    """A firewall that recorded a letter, and ended as it was told to."""
    with attached(home) as rig:
        assert rig.start().mail(WORD.decode()).status == 200
        rig.firewall.process.send_signal(signal.SIGTERM)
        assert rig.firewall.process.wait(30) == 0


def test_a_damaged_page_starts_no_firewall_and_says_what_to_do(home: Home) -> None:
    stopped(home)
    whole = home.ledger.read_bytes()
    write(home.ledger, 4096, os.urandom(4096))
    done = home("serve", "--engine", "bwrap")
    assert done.status == 5, done
    assert "audit verify" in done.err
    assert home("audit", "verify").status == 7
    home.ledger.write_bytes(whole)
    with attached(home) as rig:
        assert rig.start().mail("again").status == 200


def test_a_record_changed_while_no_firewall_ran_allows_nothing_from_the_start(home: Home) -> None:
    stopped(home)
    exchange(home, WORD, OTHER)
    with attached(home) as rig:
        no(rig.start().mail("now"), "firewall.ledger_unavailable")
        assert not_ready(rig, "safebox audit verify")
        assert rig.metric("safebox_ledger_verified") == 0
        rig.firewall.process.send_signal(signal.SIGTERM)
        assert rig.firewall.process.wait(30) == 0
    exchange(home, OTHER, WORD)
    with attached(home) as rig:
        assert rig.start().mail("again").status == 200
        home.verified()
