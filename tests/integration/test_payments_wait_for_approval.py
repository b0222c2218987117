"""A payment of a sandboxed agent waits for its owners, and is mined when they have said yes with their own keys."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.conftest import real_engine
from tests.live import Chain, Home, Started, agent_folder, home_at, share_images, until

pytestmark = pytest.mark.bwrap

PAYEE = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
MANDATE = f"""
[agent]
name = "payer"
command = ["python", "payer.py"]
purpose = "Pay our provider."
task = "Pay."
expires = "5m"
[wallet]
chain = "dev"
budget = "2 ETH"
per_transfer = "1 ETH"
approve_above = "0.5 ETH"
challenge_above = "0.1 ETH"
[wallet.payees]
acme = "{PAYEE}"
[approvals]
group = "owners"
needed = 2
expires = "5m"
window = "3s"
"""
PAYER = """
import json, os, sys, time, urllib.error, urllib.request


def pay(amount):
    body = json.dumps({"to": "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff", "amount": amount}).encode()
    url = os.environ["SAFEBOX_URL"] + "/v1/tools/wallet.transfer"
    asked = 0
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body), timeout=60) as answer:
                status, document = answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            status, document = error.code, json.load(error)
        if status != 202:
            return amount, status, document.get("error", {}).get("code"), document.get("decision_id")
        if not asked:
            print("held", document["error"]["decision_id"], flush=True)
        asked += 1
        time.sleep(0.3)


for amount in sys.argv[1:]:
    print("outcome", json.dumps(pay(amount)), flush=True)
time.sleep(60)
"""

ETHEREUM = """
import json, os, time, urllib.error, urllib.request


def ask(url, body=None):
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def send():
    payment = {"from": os.environ["WALLET_ADDRESS"], "to": "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"}
    payment["value"] = hex(6 * 10**17)
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendTransaction", "params": [payment]}
    return ask(os.environ["WEB3_PROVIDER_URI"], json.dumps(body).encode())[1]


answer = send()
print("refused", json.dumps(answer["error"]), flush=True)
hold = answer["error"]["data"]["decision_id"]
print("held", hold, flush=True)
while (looked := ask(os.environ["SAFEBOX_URL"] + "/v1/decisions/" + hold))[0] == 202:
    time.sleep(0.3)
print("looked", json.dumps(looked), flush=True)
print("again", json.dumps(send()), flush=True)
time.sleep(60)
"""


@pytest.fixture
def home(short_path: Path) -> Iterator[Home]:
    real_engine("bwrap")
    with home_at(short_path / "h") as home:
        share_images(home.path)
        yield home


@pytest.fixture
def payer(tmp_path: Path) -> Path:
    return agent_folder(tmp_path / "agents", "payer", MANDATE, payer=PAYER, ethereum=ETHEREUM)


@pytest.fixture
def keys(home: Home, tmp_path: Path) -> dict[str, Path]:
    """The private keys of three owners, whose public ones are in the file of approvers."""
    files = {name: tmp_path / "keys" / f"{name}.key" for name in ("alice", "bob", "carol")}
    lines = [home("approvals", "keygen", name, "--out", str(file)).out for name, file in files.items()]
    (home.path / "approvers.toml").write_text("[owners]\n" + "".join(lines))
    (home.path / "approvers.toml").chmod(0o600)
    return files


def started(home: Home, payer: Path, *amounts: str) -> Started:
    return home.start("run", "--engine", "bwrap", "--json", str(payer), "--", "python", "payer.py", *amounts)


def printed(running: Started, word: str) -> list[str]:
    """The lines with which the agent said this, so far."""
    text = "".join(each["text"] for each in running.json() if each["event"] == "output")
    return [line.partition(" ")[2] for line in text.splitlines() if line.startswith(word + " ")]


def first(running: Started, word: str) -> str:
    return until(lambda: printed(running, word), lambda: (running.out, running.err))[0]


def outcome(running: Started) -> list[Any]:
    found: list[Any] = json.loads(first(running, "outcome"))
    return found


def paid(home: Home) -> list[int]:
    """What the payee got, as the chain says."""
    url = home.status()["urls"]["chain"]
    return [int(each["value"], 16) for each in Chain(url).transactions() if each["to"] == PAYEE.lower()]


def test_two_owners_approve_and_the_payment_is_mined_once(home: Home, payer: Path, keys: dict[str, Path]) -> None:
    running = started(home, payer, "0.6 ETH")
    hold = first(running, "held")
    shown = home("approvals", "show", hold)
    assert shown.status == 0, shown
    for fact in ("pay 0.6 ETH → acme", PAYEE, "Pay our provider.", "transfer.approve_above", "0 of 2 owners"):
        assert fact in shown.out
    listed = home("approvals", "list")
    assert f"{hold}  payer  pay 0.6 ETH → acme" in listed.out
    assert paid(home) == []

    assert "1 of 2 owners" in home("approvals", "approve", hold[-8:], "--key", str(keys["alice"])).out
    twice = home("approvals", "approve", hold, "--key", str(keys["alice"]))
    assert (twice.status, "alice has already approved this" in twice.err) == (5, True), twice
    assert paid(home) == []
    assert "That is enough" in home("approvals", "approve", hold, "--key", str(keys["bob"])).out

    assert outcome(running) == ["0.6 ETH", 200, None, hold]
    assert paid(home) == [6 * 10**17]
    late = home("approvals", "deny", hold, "--key", str(keys["carol"]))
    assert (late.status, "this is over: done" in late.err) == (5, True), late
    assert json.loads(home("approvals", "show", hold, "--json").out)["state"] == "done"
    assert "nothing" not in home.verified()


def test_one_no_is_a_no_for_the_rest_of_the_run(home: Home, payer: Path, keys: dict[str, Path]) -> None:
    running = started(home, payer, "0.7 ETH", "0.7 ETH")
    hold = first(running, "held")
    assert home("approvals", "approve", hold, "--key", str(keys["alice"])).status == 0
    denied = home("approvals", "deny", hold, "--key", str(keys["bob"]), "--json")
    assert json.loads(denied.out)["state"] == "refused"
    assert outcome(running)[1:3] == [403, "hold.refused"]
    until(lambda: len(printed(running, "outcome")) == 2, lambda: running.out)
    assert json.loads(printed(running, "outcome")[1])[2] == "hold.refused"
    assert paid(home) == []


def test_a_smaller_payment_goes_on_by_itself_when_nobody_objects(
    home: Home, payer: Path, keys: dict[str, Path]
) -> None:
    running = started(home, payer, "0.2 ETH")
    hold = first(running, "held")
    assert outcome(running) == ["0.2 ETH", 200, None, hold]
    assert paid(home) == [2 * 10**17]
    (event,) = [each for each in home.events("decided") if each["hold"]]
    assert event["facts"]["approval"]["challenge_passed"] is True


def test_a_firewall_killed_after_the_last_yes_pays_once(home: Home, payer: Path, keys: dict[str, Path]) -> None:
    running = started(home, payer, "0.6 ETH")
    hold = first(running, "held")
    for name in ("alice", "bob"):
        assert home("approvals", "approve", hold, "--key", str(keys[name])).status == 0
    with home.client() as client:
        pid = client.request("status")["pid"]
    os.kill(pid, 9)
    until(lambda: home.status().get("pid", pid) != pid, lambda: running.err)
    until(lambda: home.events("settled"), "nothing was settled")
    assert outcome(running)[:2] == ["0.6 ETH", 200]
    assert paid(home) == [6 * 10**17]


def test_a_wallet_program_is_told_what_its_payment_waits_as(home: Home, payer: Path, keys: dict[str, Path]) -> None:
    running = home.start("run", "--engine", "bwrap", "--json", str(payer), "--", "python", "ethereum.py")
    error = json.loads(first(running, "refused"))
    hold = first(running, "held")
    assert (error["code"], error["data"]["code"]) == (-32005, "transfer.approve_above")
    assert error["data"]["reasons"][0]["code"] == "transfer.approve_above"
    for name in ("alice", "bob"):
        assert home("approvals", "approve", hold, "--key", str(keys[name])).status == 0
    status, document = json.loads(first(running, "looked"))
    assert (status, document["decision_id"]) == (200, hold)
    assert paid(home) == [6 * 10**17]
    # It was told by looking: to send the same again is to want it again.
    again = json.loads(first(running, "again"))
    assert again["error"]["data"]["code"] == "transfer.approve_above"
    assert again["error"]["data"]["decision_id"] != hold


def test_a_key_that_others_can_read_signs_nothing(home: Home, payer: Path, keys: dict[str, Path]) -> None:
    running = started(home, payer, "0.6 ETH")
    hold = first(running, "held")
    keys["alice"].chmod(0o640)
    refused = home("approvals", "approve", hold, "--key", str(keys["alice"]))
    assert (refused.status, f"chmod 600 {keys['alice']}" in refused.err) == (3, True), refused
    assert not home.events("voted")
