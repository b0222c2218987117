"""`safebox run` from its start to each of its ends: whoever dies, the run ends in the ledger and nothing is left."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from safebox.sandbox.engines import choose_engine
from tests.contracts.conftest import real_engine
from tests.live import Chain, Home, Started, agent_folder, halt, home_at, pairs, share_images, until

PAYEE = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
CENT = 10**16
DUST = 10**14
"""A sweep offers the network more for gas than it takes; what it doesn't take stays behind."""
BOTH = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("docker", "bwrap")]

MANDATE = f"""
[agent]
name = "payer"
command = ["python", "payer.py"]
purpose = "Pay our provider."
task = "Pay."
expires = "5m"
[wallet]
chain = "dev"
budget = "1 ETH"
per_transfer = "0.1 ETH"
[wallet.payees]
acme = "{PAYEE}"
"""
IDLER_MANDATE = """
[agent]
name = "idler"
command = ["python", "idler.py"]
purpose = "Do nothing."
task = "Nothing."
expires = "5m"
"""

PAYER = """
import http.client, json, os, sys, time, urllib.error, urllib.request


def pay(number):
    body = json.dumps({"to": "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff", "amount": "0.01 ETH"}).encode()
    url = os.environ["SAFEBOX_URL"] + "/v1/tools/wallet.transfer"
    headers = {"Content-Type": "application/json", "Idempotency-Key": f"payment-{number}"}
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            if error.code != 503:  # 504 is an answer, too: nobody knows yet, and asking again won't make it so
                return error.code
        except (urllib.error.URLError, http.client.HTTPException, OSError):
            pass
        time.sleep(0.05)


count = int(sys.argv[1]) if len(sys.argv) > 1 else 10**6
for number in range(count):
    print("paid", number, pay(number), flush=True)
"""
IDLER = """
import sys, time

print("idle", flush=True)
if len(sys.argv) > 1:
    sys.exit(int(sys.argv[1]))
time.sleep(120)
"""
NEIGHBOUR = """
import json, os, socket, sys, time, urllib.request

mine, theirs = int(sys.argv[1]), int(sys.argv[2])
with socket.create_server(("127.0.0.1", mine)):
    print("listening", flush=True)
    url = os.environ["SAFEBOX_URL"] + "/v1/tools/wallet.balance"
    with urllib.request.urlopen(urllib.request.Request(url, b"{}"), timeout=60) as answer:
        balance = json.load(answer)["result"]
    reached = []
    for _ in range(40):  # the other one starts a little earlier or later
        with socket.socket() as probe:
            reached.append(probe.connect_ex(("127.0.0.1", theirs)) == 0)
        time.sleep(0.1)
    print(json.dumps({"reached": any(reached), "own": balance["address"] == os.environ["WALLET_ADDRESS"]}), flush=True)
"""


@pytest.fixture
def home(short_path: Path) -> Iterator[Home]:
    with home_at(short_path / "h") as home:
        yield home


@pytest.fixture
def payer(tmp_path: Path) -> Path:
    return agent_folder(tmp_path / "agents", "payer", MANDATE, payer=PAYER, neighbour=NEIGHBOUR)


@pytest.fixture
def idler(tmp_path: Path) -> Path:
    return agent_folder(tmp_path / "others", "idler", IDLER_MANDATE, idler=IDLER)


def ready(home: Home, engine: str) -> str:
    name = real_engine(engine).name
    share_images(home.path)
    return name


def log_of(home: Home, running: Started) -> str:
    assert running.process.poll() is None, running.err
    path = home.path / "runs" / str(running.run) / "agent.log"
    return path.read_text() if running.run is not None and path.exists() else ""


def until_paid(home: Home, running: Started, count: int) -> None:
    until(lambda: log_of(home, running).count("paid") >= count, lambda: (running.out, running.err))


def ended(home: Home) -> list[tuple[str, int | None]]:
    return [(event["reason"], event["exit_code"]) for event in home.events("run_ended")]


def paid(home: Home) -> int:
    return sum(
        int(decided["action"]["args"]["amount"]["units"])
        for decided, outcomes in pairs(home.events())
        if outcomes and outcomes[-1]["status"] == "done"
    )


def wallet(home: Home) -> str:
    (started,) = home.events("run_started")
    return str(started["run_view"]["address"])


@pytest.mark.parametrize("engine", BOTH)
def test_ctrl_c_removes_everything_and_ends_the_run(home: Home, payer: Path, engine: str) -> None:
    running = home.start("run", str(payer), "--engine", ready(home, engine), "--json")
    until_paid(home, running, 2)
    with home.hold() as line:
        chain = Chain(line.request("status")["urls"]["chain"])
        running.process.send_signal(signal.SIGINT)
        assert running.end().status == 130
        assert ended(home) == [("interrupted", None)]
        assert home.containers() == []
        assert chain.balance(wallet(home)) < DUST
        assert chain.balance(PAYEE) == paid(home)
    home.nothing_left()
    home.verified()


@pytest.mark.parametrize("engine", BOTH)
def test_a_launcher_that_is_killed_takes_its_agent_with_it(
    home: Home, payer: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = home.start("run", str(payer), "--engine", ready(home, engine), "--json")
    until_paid(home, running, 2)
    with home.hold() as line:
        chain = Chain(line.request("status")["urls"]["chain"])
        running.process.kill()
        running.process.wait()
        until(lambda: ended(home), "the run goes on in the ledger")
        assert ended(home) == [("launcher_gone", None)]
        assert chain.balance(wallet(home)) < DUST
        held = chain.balance(PAYEE)
        assert held == paid(home)
        monkeypatch.setenv("SAFEBOX_HOME", str(home.path))
        choose_engine(engine).reap()  # as the next run does
        assert home.containers() == []
        assert chain.balance(PAYEE) == held
    home.nothing_left()
    home.verified()


@pytest.mark.docker
def test_an_agent_goes_on_under_a_new_firewall_when_the_old_one_is_killed(home: Home, payer: Path) -> None:
    running = home.start(
        *("run", str(payer), "--engine", ready(home, "docker"), "--json"), *("--", "python", "payer.py", "30")
    )
    until_paid(home, running, 3)
    first = home.status()["pid"]
    os.kill(first, signal.SIGKILL)
    until(lambda: home.status().get("pid", first) != first, "no new firewall")
    with home.hold() as line:
        chain = Chain(line.request("status")["urls"]["chain"])
        assert running.end().status == 0
        assert chain.balance(PAYEE) == paid(home) >= 29 * CENT
        assert chain.balance(wallet(home)) < DUST
    assert "the firewall is gone; starting it again" in running.err
    assert "the firewall is back" in running.err
    assert ended(home) == [("exited", 0)]
    told = [line.split()[-1] for line in home.agent_log(str(running.run)).splitlines()]
    assert len(told) == 30
    assert sorted(told)[:29] == ["200"] * 29
    assert told[-1] == "200"  # at most the one under way at the kill is told as unknown
    home.nothing_left()
    home.verified()


@pytest.mark.bwrap
def test_kill_ends_the_agent_and_no_effect_starts_afterwards(home: Home, payer: Path) -> None:
    running = home.start("run", str(payer), "--engine", ready(home, "bwrap"), "--json")
    until_paid(home, running, 2)
    with home.hold() as line:
        chain = Chain(line.request("status")["urls"]["chain"])
        assert home("kill", str(running.run)).status == 0
        before = {decided["action_id"] for decided, _ in pairs(home.events())}
        assert running.end().status == 137
        assert {decided["action_id"] for decided, _ in pairs(home.events())} == before
        assert chain.balance(PAYEE) == paid(home)
        assert chain.balance(wallet(home)) < DUST
    assert ended(home) == [("killed", 137)]
    home.nothing_left()
    home.verified()


@pytest.mark.bwrap
def test_a_killed_run_does_not_come_back_with_a_new_firewall(home: Home, payer: Path) -> None:
    running = home.start("run", str(payer), "--engine", ready(home, "bwrap"), "--json")
    until_paid(home, running, 2)
    halt(running.process.pid)  # it hears of nothing
    pid = home.status()["pid"]
    assert home("kill", str(running.run)).status == 0
    os.kill(pid, signal.SIGKILL)
    until(lambda: not home.status(), "the firewall lives")
    before = {decided["action_id"] for decided, _ in pairs(home.events())}
    running.process.send_signal(signal.SIGCONT)
    assert running.end().status != 0
    until(lambda: ended(home), "the run goes on in the ledger")
    assert {decided["action_id"] for decided, _ in pairs(home.events())} == before
    home.verified()


@pytest.mark.docker
@pytest.mark.bwrap
def test_two_runs_share_a_firewall_and_see_nothing_of_each_other(home: Home, payer: Path) -> None:
    ready(home, "docker")
    real_engine("bwrap")
    firewall = home.serve()
    both = [
        home.start(
            *("run", str(payer), "--engine", engine, "--json"), *("--", "python", "neighbour.py", *map(str, ports))
        )
        for engine, ports in (("docker", (9001, 9002)), ("bwrap", (9002, 9001)))
    ]
    assert [running.end().status for running in both] == [0, 0]
    logs = [home.agent_log(str(running.run)) for running in both]
    assert [json.loads(log.splitlines()[-1]) for log in logs] == [{"reached": False, "own": True}] * 2
    asked = [event["run"] for event in home.events("decided") if event["tool"] == "wallet.balance"]
    assert sorted(asked) == sorted(str(running.run) for running in both)
    assert len({event["run_view"]["address"] for event in home.events("run_started")}) == 2
    assert ended(home) == [("exited", 0)] * 2
    firewall.process.terminate()
    assert firewall.end().status == 0
    home.nothing_left()
    home.verified()


@pytest.mark.docker
def test_the_exit_status_is_the_agents_and_runs_that_start_together_start_one_firewall(home: Home, idler: Path) -> None:
    engine = ready(home, "docker")
    both = [
        home.start("run", str(idler), "--engine", engine, "--json", "--", "python", "idler.py", status)
        for status in ("7", "9")
    ]
    assert [running.end().status for running in both] == [7, 9], [running.err for running in both]
    again = home("run", str(idler), "--engine", engine, "--json", "--", "python", "idler.py", "11")
    assert again.status == 11, again  # though the firewall of the two may just be ending
    assert sorted(str(code) for _, code in ended(home)) == ["11", "7", "9"]
    home.nothing_left()
    home.verified()
