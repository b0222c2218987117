"""The load: runs whose budgets fit a part of what they ask for, each with several clients on listeners of its own.

A run is started, attached and ended as a launcher does it, and its clients behave as careful ones do: after a lost
answer or a 503 they ask again under the same key, or not at all if they used none.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
import urllib.error
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from safebox.firewall.control.client import ControlClient
from safebox.firewall.control.wire import ControlError
from tests.crash.far_sides import MODEL
from tests.crash.journal import Journal, Question
from tests.crash.wire import digest_of
from tests.live import Answered
from tests.live import http as ask_http

PAYEE: Final = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
STRANGER: Final = "0x024FD724aB22e21fA3F8f4E8f5b0E6D0B4a3AfeA"
WEI: Final = 10**16
"""What a payment is at least: its number is added, so that no two are of the same amount."""
IMAGE: Final = "safebox/base"
LEASE_MICRO_USD: Final = 10_000
"""What a container costs for its minute."""
COMMAND: Final = ["sh", "-c", "cat /job/input; sleep 300"]
MANDATE: Final = f"""
[agent]
name = "crash"
command = ["true"]
purpose = "Use everything there is until it is used up."
task = "Go on."
expires = "12h"
[inference]
models = ["{MODEL}"]
tokens = 2500
budget = "1 USD"
[wallet]
chain = "dev"
budget = "0.13 ETH"
per_transfer = "0.02 ETH"
max_fee_per_gas = "20 gwei"
[wallet.payees]
acme = "{PAYEE}"
[mail]
recipients = ["billing@acme.example"]
per_hour = 12
[compute]
provider = "local"
images = ["{IMAGE}"]
commands = {json.dumps([COMMAND])}
budget = "0.04 USD"
instances = 2
max_minutes = 2
"""
LOST: Final = (urllib.error.URLError, http.client.HTTPException, OSError)
CHAIN_READ: Final = b'{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}'
READS: Final = frozenset({"wallet.balance", "wallet.quote", "compute.status"})
KEYED: Final = 0.7
"""How much of what is asked is asked under a key."""
AGAIN: Final = 0.15
"""How often what was answered is asked again."""
GONE: Final = "firewall.run_not_live"


class Over(Exception):
    """Nothing more is to be asked."""


class Client:
    """Asks for one run, and writes down what it is told."""

    def __init__(self, run: str, ports: list[int], journal: Journal, over: threading.Event, seed: str) -> None:
        self._run, self._ports, self._journal, self._over = run, ports, journal, over
        self.chance = random.Random(seed)  # noqa: S311 - repeatable

    def rest(self, least: float, most: float) -> None:
        """Do nothing for a while."""
        if self._over.wait(self.chance.uniform(least, most)):
            raise Over

    def ask(self, tool: str, mark: str, arguments: dict[str, Any], *, keyed: bool | None = None) -> Answered | None:
        """Ask until there is an answer; without a key, once."""
        number = self._journal.number()
        keyed = self.chance.random() < KEYED if keyed is None else keyed
        question = Question(self._run, tool, mark, f"key-{number}" if keyed else None)
        answer = self._until_answered(question, arguments)
        if keyed and answer is not None and self.chance.random() < AGAIN:
            self._until_answered(question, arguments)
        return answer

    def _until_answered(self, question: Question, arguments: dict[str, Any]) -> Answered | None:
        while True:
            self._journal.ask(question)
            with suppress(*LOST):
                answer = self._once(question, arguments)
                self._journal.told(question, answer)
                if answer.status != 503:
                    return answer
            if question.key is None:
                return None
            if self._over.wait(0.05) and question.tries > 50:
                raise Over

    def _once(self, question: Question, arguments: dict[str, Any]) -> Answered:
        tools, inference, _ = self._ports
        if question.tool == "inference.chat":
            url = f"http://127.0.0.1:{inference}/v1/chat/completions"
        else:
            url = f"http://127.0.0.1:{tools}/v1/tools/{question.tool}"
        return ask_http(url, json.dumps(arguments).encode(), question.key)

    def pay(self, to: str = PAYEE) -> Answered | None:
        """Pay a cent of an ETH and a little."""
        wei = WEI + self._journal.number()
        return self.ask("wallet.transfer", str(wei), {"to": to, "amount": f"{wei} wei"})

    def mail(self) -> Answered | None:
        """Write a mail."""
        mark = f"mail-{self._journal.number()}"
        return self.ask("email.send", mark, {"to": ["billing@acme.example"], "subject": mark, "body": f"About {mark}."})

    def think(self) -> Answered | None:
        """Ask the model."""
        content = f"question-{self._journal.number()}"
        messages = [{"role": "user", "content": content}]
        request = {"model": MODEL, "max_tokens": 50, "stream": False, "messages": messages}
        return self.ask("inference.chat", digest_of(request), request)

    def rent(self) -> Answered | None:
        """Rent a container, look at it and give it back."""
        mark = f"job-{self._journal.number()}"
        started = self.ask(
            "compute.start", mark, {"image": IMAGE, "command": COMMAND, "minutes": 1, "input": mark}, keyed=True
        )
        if started is not None and started.status == 200:
            instance = {"instance": started.document["result"]["instance"]}
            self.rest(0.2, 1.0)
            self.ask("compute.status", instance["instance"], instance, keyed=False)
            self.rest(0.0, 1.0)
            self.ask("compute.stop", instance["instance"], instance)
        return started

    def read(self) -> None:
        """Look around: a balance, what a payment would cost, the chain, the models."""
        self.ask("wallet.balance", "", {}, keyed=False)
        self.ask("wallet.quote", "", {"to": PAYEE, "amount": "1 gwei"}, keyed=False)
        with suppress(*LOST):
            ask_http(
                f"http://127.0.0.1:{self._ports[2]}", b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'
            )
        with suppress(*LOST):
            ask_http(f"http://127.0.0.1:{self._ports[1]}/v1/models")


def until_refused(client: Client, what: Callable[[], Answered | None], least: float, most: float) -> None:
    """Do one thing again and again, until the mandate grants no more of it."""
    with suppress(Over):
        while True:
            answer = what()
            if answer is not None and answer.status in (400, 403, 429):
                return
            client.rest(least, most)


class Slot:
    """One run after the other, for as long as the load goes on. A thread of its own drives it."""

    def __init__(self, control: Path, journal: Journal, seed: str) -> None:
        self._control, self._journal, self._seed = control, journal, seed
        self._chance = random.Random(seed)  # noqa: S311 - repeatable
        self._line: ControlClient | None = None
        self.over = threading.Event()
        self.given_up = threading.Event()
        self.last_error = ""
        self.known: set[str] = set()
        self.runs = 0
        self.thread = threading.Thread(target=self._work, name=f"slot {seed}", daemon=True)

    def _work(self) -> None:
        with suppress(Over):
            while True:
                self._one_run()
        self._hang_up()

    def _one_run(self) -> None:
        about = self._until_told("start", mandate=MANDATE, source="safebox.toml", folder=None, engine="none")
        run, self.runs = about["run"], self.runs + 1
        self.known.add(run)
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        try:
            clients = self._clients(run, [each.getsockname()[1] for each in listeners])
            self._keep_attached(run, listeners, clients)
            if not self.over.is_set() and self._chance.random() < 0.25:
                self._until_told("kill", run=run)
            self._until_told("end", run=run, reason="exited", exit_code=0)
        finally:
            for each in listeners:
                each.close()

    def _clients(self, run: str, ports: list[int]) -> list[threading.Thread]:
        def client(name: str) -> Client:
            return Client(run, ports, self._journal, self.over, f"{self._seed}/{self.runs}/{name}")

        payers, mailer, thinker, renter = (client("p1"), client("p2")), client("m"), client("t"), client("r")
        works: list[Callable[[], None]] = [
            *(lambda who=who: until_refused(who, who.pay, 0.1, 0.6) for who in payers),
            lambda: until_refused(mailer, mailer.mail, 0.1, 0.7),
            lambda: until_refused(thinker, thinker.think, 0.1, 0.7),
            lambda: until_refused(renter, renter.rent, 0.1, 0.5),
            lambda: self._look_around(client("l")),
        ]
        return [threading.Thread(target=work, daemon=True) for work in works]

    def _look_around(self, client: Client) -> None:
        with suppress(Over):
            client.rest(0, 3)
            client.pay(STRANGER)
            for _ in range(12):
                client.read()
                client.rest(0.3, 1.0)

    def _keep_attached(self, run: str, listeners: list[socket.socket], clients: list[threading.Thread]) -> None:
        """Hand the listeners over, to every firewall there is, until the clients are through."""
        for each in clients:
            each.start()
        attached: ControlClient | None = None
        while any(each.is_alive() for each in clients):
            if attached is None or attached is not self._line or not attached.alive():
                attached = self._attach(run, listeners)
            time.sleep(0.02)

    def _attach(self, run: str, listeners: list[socket.socket]) -> ControlClient | None:
        with suppress(ControlError):
            line = self._live_line()
            line.attach(run, listeners)
            return line
        return None

    def _live_line(self) -> ControlClient:
        """The connection to the firewall that lives; hanging up on it would end the run."""
        if self._line is None or not self._line.alive():
            self._hang_up()
            self._line = ControlClient(self._control)
        return self._line

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
        self._line = None

    def _until_told(self, op: str, **fields: Any) -> dict[str, Any]:
        """Ask for something of a run's life over as many firewalls as it takes; nothing if that run is no more.

        A start is asked for again, too, when its answer was lost: the run it may have made is nobody's then.

        Raises:
            Over: if no run is to be started any more.
        """
        while True:
            if op == "start" and self.over.is_set():
                raise Over
            try:
                return self._live_line().request(op, **fields)
            except ControlError as error:
                self.last_error = f"{op}: {error.code} {error.cause}"
                if error.code == GONE and op != "start":
                    return {}
            if self.given_up.wait(0.02):
                raise Over
