"""A firewall killed with SIGKILL at any point does nothing twice, loses nothing, and knows afterwards what it did.

The firewall is a real process, the chain another one that outlives it. Between them is a wire that can hold a signed
payment back, so that a kill falls exactly between decision and broadcast, or between broadcast and settlement.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest

from safebox.firewall.control.client import ControlClient
from safebox.firewall.control.wire import ControlError
from safebox.firewall.keystore import Keystore
from tests.integration.chain_nodes import funded
from tests.live import Answered, Chain, Home, Started, home_at, pairs, until
from tests.live import http as ask
from tests.real_parts import require

PAYEE = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
CENT = 10**16
BUDGET = 150 * CENT
CHAIN_ID = 31337
SEND = "eth_sendRawTransaction"
MANDATE = f"""
[agent]
name = "payer"
command = ["true"]
purpose = "Pay one payee, a cent of an ETH at a time."
task = "Pay."
expires = "1h"
[wallet]
chain = "dev"
budget = "1.5 ETH"
per_transfer = "0.02 ETH"
max_fee_per_gas = "100 gwei"
[wallet.payees]
acme = "{PAYEE}"
"""
LOST = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


class Wire:
    """Between the firewall and its chain: passes everything on, and holds payments back when told to."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.hold: Literal["", "before", "after"] = ""
        self.holds = threading.Event()
        self.held: list[bytes] = []
        self._go_on = threading.Event()

    def arm(self, hold: Literal["before", "after"]) -> None:
        """Hold the next payment, before the chain gets it or before its answer comes back."""
        self.holds.clear()
        self._go_on.clear()
        self.held.clear()
        self.hold = hold

    def disarm(self) -> None:
        """Let go of what is held, without passing it on."""
        self.hold = ""
        self._go_on.set()

    def deliver(self) -> None:
        """Give the chain the payments that were held back, long after whoever sent them has gone."""
        for body in self.held:
            self.forward(body)

    def forward(self, body: bytes) -> bytes:
        request = urllib.request.Request(self.node, body, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            answer: bytes = response.read()
        return answer

    def handle(self, body: bytes) -> bytes | None:
        """The answer to one request; None hangs up."""
        hold = self.hold if json.loads(body)["method"] == SEND else ""
        if hold == "before":
            self.held.append(body)
        answer = b"" if hold == "before" else self.forward(body)
        if hold:
            self.holds.set()
            self._go_on.wait()
            return None
        return answer


@contextmanager
def wire_to(node: str) -> Generator[tuple[Wire, str]]:
    wire = Wire(node)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            answer = wire.handle(self.rfile.read(int(self.headers["Content-Length"])))
            if answer is None:
                self.close_connection = True
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """The firewall was killed while it waited."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield wire, f"http://127.0.0.1:{server.server_port}"
        finally:
            wire.disarm()
            server.shutdown()
            thread.join()


class Rig:
    """One run under firewalls that are killed, with listeners that outlive them."""

    def __init__(self, home: Home, chain: Chain, wire: Wire, wire_url: str) -> None:
        self.home = home
        self.chain = chain
        self.wire = wire
        self.url = wire_url
        self.listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        self.tools = f"http://127.0.0.1:{self.listeners[0].getsockname()[1]}/v1/tools/"
        self.run = ""
        self.address = ""
        self.firewall: Started | None = None
        self.line: ControlClient | None = None
        self.options: tuple[str, ...] = ()

    def boot(self) -> None:
        """Start a firewall, and the run at the first time; hand it the listeners."""
        self.firewall = self.home.serve(
            *("--engine", "bwrap", "--chain-url", self.url, "--chain-id", str(CHAIN_ID)),
            *("--smtp-url", "smtp://127.0.0.1:9", "--model-url", "http://127.0.0.1:9/v1"),
            *self.options,
        )
        self.line = self.home.client()
        if not self.run:
            about = self.line.request("start", mandate=MANDATE, source="safebox.toml", folder=None, engine="none")
            self.run, self.address = about["run"], about["address"]
        self.line.attach(self.run, self.listeners)

    def crash(self) -> None:
        """SIGKILL."""
        assert self.firewall is not None
        assert self.line is not None
        self.firewall.process.kill()
        self.firewall.process.wait()
        self.line.close()

    def pay(self, key: str, cents: int = 1) -> Answered:
        body = json.dumps({"to": PAYEE, "amount": f"{cents * CENT} wei"}).encode()
        return ask(self.tools + "wallet.transfer", body, key)

    def pay_aside(self, key: str) -> threading.Thread:
        """Begin a payment whose answer nobody will get."""

        def begin() -> None:
            with suppress(*LOST):
                self.pay(key)

        thread = threading.Thread(target=begin)
        thread.start()
        return thread

    def settled(self, key: str) -> list[dict[str, Any]]:
        """Every outcome of the action under a key."""
        found = [outcomes for decided, outcomes in pairs(self.home.events()) if decided["key"] == key]
        assert len(found) <= 1, f"{key} was allowed {len(found)} times"
        return found[0] if found else []

    def status_of(self, key: str) -> str:
        outcomes = self.settled(key)
        return str(outcomes[-1]["status"]) if outcomes else "open"

    def line_of_wallet(self) -> dict[str, int]:
        assert self.line is not None
        (row,) = self.line.request("ps")["runs"]
        (line,) = row["lines"]
        return {name: int(line[name]) for name in ("granted", "spent", "reserved")}

    def close(self) -> None:
        if self.line is not None:
            self.line.close()
        for listener in self.listeners:
            listener.close()


@pytest.fixture(params=["standin", "anvil"])
def rig(request: pytest.FixtureRequest, short_path: Path) -> Iterator[Rig]:
    require("bwrap")
    with home_at(short_path / "h") as home:
        keys = Keystore.open(home.path / "keystore", home.path / "passphrase")
        owner = keys.owner_address
        with (
            funded(request.param, short_path / "chain", owner) as url,
            wire_to(url) as (wire, wire_url),
        ):
            rig = Rig(home, Chain(url), wire, wire_url)
            try:
                rig.boot()
                yield rig
            finally:
                rig.close()
                home.clear()


def check(rig: Rig) -> None:
    """Ledger, chain and answers agree, and every payment happened once or not at all."""
    assert "intact" in rig.home.verified()
    mined = [each for each in rig.chain.transactions() if each["from"].lower() == rig.address.lower()]
    events = rig.home.events()
    done: dict[str, int] = {}
    spent = 0
    for decided, outcomes in pairs(events):
        assert outcomes, f"{decided['action_id']} has no outcome"
        final = [each for each in outcomes if each["status"] != "unknown"]
        assert len(final) == 1, outcomes
        assert outcomes[-1] is final[0], outcomes
        spent += sum(int(charge["amount"]["units"]) for charge in final[0]["charges"])
        if final[0]["status"] == "done":
            done[final[0]["result"]["transaction_hash"]] = int(decided["action"]["args"]["amount"]["units"])
    assert sorted(done) == sorted(each["hash"] for each in mined)
    assert rig.chain.balance(PAYEE) == sum(done.values())
    (funded,) = [
        int(event["plan"]["value"]["units"])
        for event in events
        if event["event"] == "decided" and event["tool"] == "wallet.fund"
    ]
    assert funded - rig.chain.balance(rig.address) == spent
    assert rig.line_of_wallet() == {"granted": BUDGET, "spent": spent, "reserved": 0}
    keys = [decided["key"] for decided, _ in pairs(events)]
    assert len(keys) == len(set(keys))


WAITS = ("--stuck", "wait")
"""The owner wants nothing sent a second time."""


def test_killed_between_signature_and_broadcast_it_sends_the_very_payment_that_was_decided(rig: Rig) -> None:
    rig.wire.arm("before")
    client = rig.pay_aside("lost")
    assert rig.wire.holds.wait(30)
    rig.crash()
    rig.wire.disarm()
    client.join()
    assert rig.chain.balance(PAYEE) == 0
    rig.boot()
    assert [(each["status"], each["recovered"]) for each in rig.settled("lost")] == [("done", True)]
    assert rig.chain.balance(PAYEE) == CENT
    with suppress(urllib.error.HTTPError):
        rig.wire.deliver()  # what the first firewall wrote arrives after all, and is the same payment
    assert rig.pay("lost").status == 200
    assert rig.chain.balance(PAYEE) == CENT
    assert rig.pay("next").status == 200
    check(rig)


def test_killed_between_signature_and_broadcast_a_killed_run_has_nothing_sent(rig: Rig) -> None:
    rig.wire.arm("before")
    client = rig.pay_aside("lost")
    assert rig.wire.holds.wait(30)
    assert rig.line is not None
    rig.line.request("kill", run=rig.run, by="owner", tree=False)
    rig.crash()
    rig.wire.disarm()
    client.join()
    with suppress(ControlError):
        rig.boot()
    until(lambda: rig.chain.balance(rig.address) < CENT, lambda: rig.chain.balance(rig.address))
    assert rig.chain.balance(PAYEE) == 0
    until(lambda: rig.status_of("lost") == "failed", lambda: rig.settled("lost"))


def test_killed_between_signature_and_broadcast_it_never_pays_where_nothing_may_be_sent_twice(rig: Rig) -> None:
    rig.options = WAITS
    rig.wire.arm("before")
    client = rig.pay_aside("lost")
    assert rig.wire.holds.wait(30)
    rig.crash()
    rig.wire.disarm()
    client.join()
    rig.boot()
    assert rig.status_of("lost") == "unknown"
    assert rig.settled("lost")[0]["recovered"]
    assert rig.line_of_wallet()["reserved"] > CENT
    assert rig.pay("lost").status == 504
    assert rig.chain.balance(PAYEE) == 0
    assert rig.pay("next").status == 200  # with the nonce the lost one would have used
    until(lambda: rig.status_of("lost") == "failed", lambda: rig.settled("lost"))
    assert rig.pay("lost").code == "firewall.effect_failed"
    assert rig.chain.balance(PAYEE) == CENT
    check(rig)


def test_killed_between_broadcast_and_settlement_it_finds_the_payment_and_pays_no_second_one(rig: Rig) -> None:
    rig.wire.arm("after")
    client = rig.pay_aside("sent")
    assert rig.wire.holds.wait(30)
    rig.crash()
    rig.wire.disarm()
    client.join()
    rig.boot()
    assert [(each["status"], each["recovered"]) for each in rig.settled("sent")] == [("done", True)]
    answer = rig.pay("sent")
    assert answer.status == 200
    assert answer.document["result"]["transaction_hash"] == rig.settled("sent")[0]["result"]["transaction_hash"]
    assert rig.chain.balance(PAYEE) == CENT
    check(rig)


def test_a_payment_that_reaches_the_chain_after_the_restart_is_found_and_counted_once(rig: Rig) -> None:
    rig.options = WAITS
    rig.wire.arm("before")
    client = rig.pay_aside("late")
    assert rig.wire.holds.wait(30)
    rig.crash()
    rig.wire.disarm()
    client.join()
    rig.boot()
    assert rig.pay("late").status == 504
    rig.wire.deliver()
    until(lambda: rig.status_of("late") == "done", lambda: rig.settled("late"))
    assert rig.pay("late").status == 200
    assert rig.pay("next").status == 200
    assert rig.chain.balance(PAYEE) == 2 * CENT
    check(rig)


def test_two_payments_of_one_nonce_are_never_both_made(rig: Rig) -> None:
    rig.options = WAITS
    rig.wire.arm("before")
    client = rig.pay_aside("first")
    assert rig.wire.holds.wait(30)
    rig.crash()
    rig.wire.disarm()
    client.join()
    rig.boot()
    rig.wire.arm("before")
    other = rig.pay_aside("second")  # planned with the same nonce
    assert rig.wire.holds.wait(30)
    second = list(rig.wire.held)
    rig.crash()
    rig.wire.disarm()
    other.join()
    rig.boot()
    assert rig.line_of_wallet()["reserved"] > 2 * CENT
    for body in second:
        rig.wire.forward(body)
    until(lambda: rig.status_of("second") == "done", lambda: rig.settled("second"))
    until(lambda: rig.status_of("first") == "failed", lambda: rig.settled("first"))
    assert [rig.pay(key).status for key in ("first", "second")] == [502, 200]
    assert rig.chain.balance(PAYEE) == CENT
    check(rig)


def test_killed_while_the_chain_stands_still_it_has_decided_and_done_nothing(rig: Rig) -> None:
    assert rig.pay("before").status == 200
    reads = threading.Event()
    passed = rig.wire.forward

    def stand_still(body: bytes) -> bytes:
        reads.set()
        rig.wire.holds.wait()
        return passed(body)

    rig.wire.holds.clear()
    rig.wire.forward = stand_still  # type: ignore[method-assign]
    client = rig.pay_aside("stalled")
    assert reads.wait(30)
    rig.crash()
    rig.wire.forward = passed  # type: ignore[method-assign]
    rig.wire.holds.set()
    client.join()
    rig.boot()
    assert rig.settled("stalled") == []
    assert rig.pay("stalled").status == 200
    assert rig.chain.balance(PAYEE) == 2 * CENT
    check(rig)
