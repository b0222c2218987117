"""The orders about runs, by the real program on a run that is really there, and over a restart of its firewall."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live import Chain, Home, Started, agent_folder, home_at, until
from tests.real_parts import require

MANDATE = """
[agent]
name = "asker"
command = ["python", "asker.py"]
purpose = "Ask again and again."
task = "Ask."
expires = "5m"
[mail]
recipients = []
per_hour = 1
inbox = "inbox"
"""
ASKER = """
import json, os, time, urllib.error, urllib.request

while True:
    try:
        url = os.environ["SAFEBOX_URL"] + "/v1/tools/email.list"
        with urllib.request.urlopen(urllib.request.Request(url, b"{}"), timeout=60) as answer:
            print(answer.status, flush=True)
    except urllib.error.HTTPError as error:
        with error:
            code = json.load(error)["error"]["code"]
        print(error.code, error.headers.get("Retry-After"), code, flush=True)
    except OSError:
        pass  # the firewall is being started again
    time.sleep(0.05)
"""
REFUSED = "503 10 firewall.run_paused"
"""What it hears between the order and the moment its programs stand still, if it asks then."""
DUST = 10**14
"""A sweep offers the network more for gas than it takes; what it does not take stays behind."""


@pytest.fixture
def home(short_path: Path) -> Iterator[Home]:
    with home_at(short_path / "h") as home:
        yield home


@pytest.fixture
def running(home: Home, tmp_path: Path) -> Started:
    require("bwrap")
    folder = agent_folder(tmp_path / "agents", "asker", MANDATE, asker=ASKER)
    (folder / "inbox").mkdir()
    running = home.start("run", str(folder), "--engine", "bwrap", "--json")
    until(lambda: running.run and (home.path / "runs" / running.run / "agent.log").exists(), lambda: running.err)
    return running


def last(home: Home, running: Started) -> str:
    """What the agent heard last."""
    lines = home.agent_log(str(running.run)).splitlines()
    return lines[-1] if lines else ""


def stands_still(home: Home, run: str) -> None:
    """Its programs do nothing for a while, and the firewall decides nothing."""

    def written() -> tuple[int, int]:
        return len(home.agent_log(run)), len(home.events("decided"))

    def unchanged() -> bool:
        before = written()
        time.sleep(1)
        return written() == before

    until(unchanged, lambda: home.agent_log(run)[-300:])
    assert {*home.agent_log(run).splitlines()} <= {"200", REFUSED}


def listed(home: Home) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(home("ps", "--json").out or "{}")
    return found


@pytest.mark.bwrap
def test_a_run_is_paused_frozen_and_goes_on_and_the_ledger_says_who_said_so(home: Home, running: Started) -> None:
    run = str(running.run)
    until(lambda: last(home, running) == "200", lambda: home.agent_log(run))

    assert home("pause", run[-6:]).out == f"paused {run}\n"
    assert listed(home)["state"] == "paused"
    stands_still(home, run)
    assert json.loads(home("resume", "--all", "--json").out) == {"resumed": [run]}
    until(lambda: last(home, running) == "200", lambda: home.agent_log(run))

    assert home("freeze", run).out == f"frozen {run}\n"
    assert listed(home)["state"] == "frozen"
    assert home("thaw", run).out == f"thawed {run}\n"
    assert listed(home)["state"] == "live"

    assert home("kill", run, "--tree").out == f"stopped {run}\n"
    assert home("resume", run).status != 0
    assert running.end().status == 137
    told = [event for event in home.events() if event["event"].startswith(("run_paused", "run_resumed", "wallet_"))]
    assert [event["event"] for event in told] == ["run_paused", "run_resumed", "wallet_frozen", "wallet_thawed"]
    assert all(event["by"] for event in told)
    shown = home("audit", "tail", "-n", "100000").out
    assert all(word in shown for word in ("pause", "resume", "freeze", "thaw"))
    home.verified()


@pytest.mark.bwrap
def test_a_paused_run_is_paused_under_the_next_firewall_too(home: Home, running: Started) -> None:
    run = str(running.run)
    until(lambda: last(home, running) == "200", lambda: home.agent_log(run))
    assert home("pause", "--all").status == 0
    first = home.status()["pid"]
    os.kill(first, signal.SIGKILL)
    until(lambda: home.status().get("pid", first) != first, "no new firewall")
    assert listed(home)["state"] == "paused"
    stands_still(home, run)
    assert home("resume", run).status == 0
    until(lambda: last(home, running) == "200", lambda: home.agent_log(run)[-500:])
    assert home("kill", "--all").status == 0
    assert running.end().status == 137
    home.verified()


PAYEE = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
PAYING = f"""
[agent]
name = "payer"
command = ["python", "payer.py"]
purpose = "Pay our provider, and say so."
task = "Pay."
expires = "5m"
[wallet]
chain = "dev"
budget = "1 ETH"
per_transfer = "0.1 ETH"
[wallet.payees]
acme = "{PAYEE}"
[mail]
recipients = ["office@acme.example"]
per_hour = 10000
"""
PAYER = f"""
import json, os, time, urllib.error, urllib.request


def ask(tool, arguments):
    url = os.environ["SAFEBOX_URL"] + "/v1/tools/" + tool
    try:
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(arguments).encode()), timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)["error"]["code"]


while True:
    paid = ask("wallet.transfer", {{"to": "{PAYEE}", "amount": "0.001 ETH"}})
    sent = ask("email.send", {{"to": ["office@acme.example"], "subject": "Paid", "body": "As agreed."}})
    print(paid, sent, flush=True)
    time.sleep(0.1)
"""
TRIES = 8
"""More than the five denials after which a run may only read."""


@pytest.mark.bwrap
def test_a_frozen_wallet_pays_nobody_all_else_goes_on_and_the_money_comes_home(home: Home, tmp_path: Path) -> None:
    require("bwrap")
    folder = agent_folder(tmp_path / "agents", "payer", PAYING, payer=PAYER)
    running = home.start("run", str(folder), "--engine", "bwrap", "--json")
    until(lambda: running.run and (home.path / "runs" / running.run / "agent.log").exists(), lambda: running.err)
    run = str(running.run)
    until(lambda: last(home, running) == "200 200", lambda: home.agent_log(run))

    assert home("freeze", run).status == 0
    frozen = "transfer.frozen 200"
    until(lambda: home.agent_log(run).count(frozen) >= TRIES, lambda: home.agent_log(run))
    with home.client() as line:
        chain = Chain(line.request("status")["urls"]["chain"])
        before = chain.balance(PAYEE)
        tries = home.agent_log(run).count(frozen)
        until(lambda: home.agent_log(run).count(frozen) > tries + 2, "it asks no more")
        assert chain.balance(PAYEE) == before
        home("thaw", run)
        until(lambda: last(home, running) == "200 200", lambda: home.agent_log(run)[-500:])
        assert chain.balance(PAYEE) > before

        assert home("freeze", run).status == 0
        with home.hold():
            assert home("kill", run).status == 0
            assert running.end().status == 137
            (started,) = home.events("run_started")
            assert chain.balance(started["run_view"]["address"]) < DUST
    home.verified()
