"""What people see of wallets and do with them: a live firewall on the stand-in chain, and what it leaves behind.

One firewall for the file, started once; each test starts runs of its own.
"""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from safebox.firewall.accounts import LocalAccount
from safebox.firewall.store.database import open_database
from tests.live import Chain, Home, home_at, until

ETH: Final = 10**18
DUST: Final = 10**14
STRANGER: Final = LocalAccount(b"\x07" * 32)
"""Somebody with money who pays into a run's wallet."""
MANDATE: Final = """
[agent]
name = "idler"
command = ["true"]
purpose = "Hold a wallet."
task = "Nothing."
expires = "1h"
[wallet]
chain = "dev"
budget = "1.000000000000000001 ETH"
per_transfer = "0.1 ETH"
ceiling = "3 ETH"
[wallet.payees]
acme = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
"""
BUDGET: Final = ETH + 1


@dataclass(frozen=True)
class Desk:
    home: Home
    chain: Chain

    @contextmanager
    def run(self, mandate: str = MANDATE) -> Generator[dict[str, Any]]:
        """A run with a wallet and without a sandbox; it ends, and is swept, with its launcher."""
        with self.home.client() as line:
            started = line.request("start", mandate=mandate, source="safebox.toml", folder=None, engine="none")
            yield started
            if any(row["run"] == started["run"] for row in line.request("ps")["runs"]):
                line.request("end", run=started["run"], reason="exited", exit_code=0)

    def json(self, *words: str) -> Any:
        done = self.home("wallet", *words, "--json")
        assert done.status == 0, done
        return [json.loads(line) for line in done.out.splitlines()]

    def shown(self, run: str, *words: str) -> dict[str, Any]:
        (document,) = self.json("show", *words)
        (found,) = (each for each in document["wallets"] if each["run"] == run)
        return dict(found)

    def give(self, address: str, wei: int) -> None:
        nonce = int(self.chain.ask("eth_getTransactionCount", STRANGER.address, "latest"), 16)
        fields = {
            "type": 2, "chainId": 31337, "nonce": nonce, "to": address, "value": wei, "data": b"", "gas": 21_000,
            "maxFeePerGas": 100 * 10**9, "maxPriorityFeePerGas": 10**9,
        }  # fmt: skip
        self.chain.ask("eth_sendRawTransaction", "0x" + STRANGER.sign_transaction(fields).raw_transaction.hex())


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with tempfile.TemporaryDirectory(prefix="sb-") as folder, home_at(Path(folder) / "h") as home:
        home.serve("--fund", f"{STRANGER.address}={100 * ETH}")
        yield Desk(home, Chain(home.status()["urls"]["chain"]))


def test_wallets_are_shown_as_the_chain_has_them_to_the_last_wei(desk: Desk) -> None:
    with desk.run() as run:
        (found,) = desk.json("show")
        assert (found["firewall"], found["problem"]) == (True, None)
        assert int(found["balance"]) == desk.chain.balance(found["owner"])
        wallet = desk.shown(run["run"])
        assert (wallet["agent"], wallet["state"], wallet["address"]) == ("idler", "live", run["address"])
        assert wallet["granted"] == wallet["balance"] == str(BUDGET)
        lines = desk.home("wallet", "show").out.splitlines()
        assert lines[0] == f"owner    {found['owner']}"
        (row,) = (line for line in lines if line.startswith(run["run"]))
        assert re.split(r" {2,}", row)[3:] == ["1.000000000000000001 ETH"] * 2 + [run["address"]]
    gone = desk.shown(run["run"], "--all")
    assert gone["state"] == "ended"
    assert int(gone["balance"]) < DUST
    assert all(each["run"] != run["run"] for each in desk.json("show")[0]["wallets"])


def test_history_tells_what_was_given_earned_and_taken_back(desk: Desk) -> None:
    with desk.run() as run:
        desk.give(run["address"], ETH // 2)
        until(lambda: desk.home.events("received"), "income is not noted")
    name = run["run"]
    funding, income, sweep = desk.json("history", "--run", name[-8:])
    assert [each["what"] for each in (funding, income, sweep)] == ["funding", "income", "sweep"]
    assert {each["run"] for each in (funding, income, sweep)} == {name}
    assert {each["status"] for each in (funding, income, sweep)} == {"done"}
    assert [int(each["amount"]["units"]) for each in (funding, income)] == [BUDGET, ETH // 2]
    assert (funding["to"], sweep["from"]) == (run["address"], run["address"])
    for each in (funding, sweep):
        mined = desk.chain.ask("eth_getTransactionByHash", each["transaction"])
        receipt = desk.chain.ask("eth_getTransactionReceipt", each["transaction"])
        assert int(mined["value"], 16) == int(each["amount"]["units"])
        assert int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16) == int(each["fee"]["units"])
        assert int(receipt["blockNumber"], 16) == each["block"]
    lines = desk.home("wallet", "history", "--run", name).out.splitlines()
    assert lines[0].split() == ["TIME", "RUN", "WHAT", "AMOUNT", "FEE", "STATUS", "TO", "TRANSACTION"]
    assert [line.split()[3] for line in lines[1:]] == ["funding", "income", "sweep"]
    assert lines[1].endswith(funding["transaction"])


def test_money_is_taken_back_from_a_live_run_and_given_again_by_actions_that_policy_judges(desk: Desk) -> None:
    with desk.run() as run:
        name, address = run["run"], run["address"]
        refused = desk.home("wallet", "fund", name, "1", "wei")
        assert (refused.status, refused.out) == (5, "")
        assert "at most 0 ETH" in refused.err
        assert "(wallet.no_room)" in refused.err
        swept = desk.home("wallet", "sweep", name[-8:])
        assert (swept.status, swept.out.startswith(f"swept {name} in transaction 0x")) == (0, True), swept
        left = desk.chain.balance(address)
        assert left < DUST
        given = desk.home("wallet", "fund", name, "0.25 ETH", "--json")
        assert json.loads(given.out)["status"] == "done", given
        assert desk.chain.balance(address) == ETH // 4 + left
        rest = desk.home("wallet", "fund", name)
        assert rest.status == 0, rest
        assert desk.chain.balance(address) == BUDGET
        assert desk.home("wallet", "fund", name).status == 5
        moves = desk.json("history", "--run", name)
        assert [each["what"] for each in moves] == ["funding", "sweep", "funding", "funding"]
        mine = [each for each in desk.home.events("decided") if each["run"] == name]
        assert {(each["caller"], each["answer"]["verdict"]) for each in mine} == {("owner", "allow")}
        assert not [each for each in desk.home.events("received") if each["run"] == name]
        with desk.home.client() as line:
            line.request("kill", run=name)
        stopped = desk.home("wallet", "fund", name)
        assert (stopped.status, "killed by" in stopped.err) == (5, True)


def test_what_makes_no_sense_is_refused_with_its_remedy(desk: Desk, short_path: Path) -> None:
    for words, status, code in (
        (["fund", "run_00000000000000000000000000", "1 ETH"], 5, "request.invalid"),
        (["sweep", "nobody"], 3, "config.no_run"),
        (["fund", "nobody", "1"], 3, "config.invalid"),
        (["fund", "nobody", "1", "USD"], 3, "config.invalid"),
        (["fund", "nobody", "-1", "ETH"], 2, ""),
    ):
        done = desk.home("wallet", *words)
        assert (done.status, code in done.err, "→" in done.err or status == 2) == (status, True, True), done
    init = desk.home("wallet", "init")
    assert (init.status, "(wallet.in_use)" in init.err) == (3, True)
    bare = MANDATE[: MANDATE.index("[wallet]")]
    with desk.run(bare) as run:
        done = desk.home("wallet", "fund", run["run"])
        assert (done.status, "(wallet.none)" in done.err) == (5, True)
        assert desk.home("wallet", "sweep", run["run"]).out == f"{run['run']} holds nothing to take\n"
    with home_at(short_path / "none", keys=False) as home:
        done = home("wallet", "sweep", run["run"])
        assert (done.status, "no firewall answers" in done.err) == (5, True)


def test_a_terminal_gets_a_table_with_the_ends_of_what_is_long(desk: Desk) -> None:
    with desk.run() as run:
        pass
    master, slave = pty.openpty()
    environment = {**os.environ, "SAFEBOX_HOME": str(desk.home.path), "TERM": "xterm", "COLUMNS": "120"}
    environment.pop("NO_COLOR", None)
    words = [sys.executable, "-m", "safebox.sandbox.cli", "wallet", "history", "--run", run["run"]]
    with subprocess.Popen(words, stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        out = b""
        while chunk := _read(master):
            out += chunk
        assert process.wait(60) == 0
    os.close(master)
    assert run["run"][-6:].encode() in out
    assert "…".encode() in out
    assert run["run"].encode() not in out


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, 65_536)
    except OSError:  # the other end is closed
        return b""


def test_a_name_that_steers_a_terminal_is_shown_as_letters(short_path: Path) -> None:
    name = "run_\x1b]0;owned\x07"
    begun = {
        "event": "run_started", "run": name, "run_view": {"address": "0xa\nb", "agent": "\u202egood"},
        "mandate": {"wallet": {"budget": {"asset": "ETH", "units": "7"}}},
    }  # fmt: skip
    income = {"event": "received", "at_ns": 1, "run": name, "amount": {"asset": "\x1b[2J", "units": "5"}}
    with home_at(short_path / "h", keys=False) as home:
        with closing(open_database(home.ledger)) as db:
            rows = ((json.dumps(each, separators=(",", ":")).encode(), b"") for each in (begun, income))
            db.executemany("INSERT INTO events (body, hash) VALUES (?, ?)", rows)
        out = home("wallet", "show").out + home("wallet", "history").out
        assert "run_\\u001b]0;owned\\u0007" in out
        assert "\\u202egood" in out
        assert not {"\x1b", "\x07", "\u202e"} & set(out)


def test_without_a_firewall_what_is_not_known_is_said(short_path: Path) -> None:
    with home_at(short_path / "none", keys=False) as home:
        done = home("wallet", "show")
        assert done.status == 0
        assert "not known" in done.out
        assert "there is no wallet at" in done.out
        assert home("wallet", "history").out == "No money was moved.\n"
        assert not list(home.path.glob("keystore/*")), "looking makes no key"
    with home_at(short_path / "keys") as home:
        (found,) = (json.loads(line) for line in home("wallet", "show", "--json").out.splitlines())
        assert found["owner"].startswith("0x")
        assert (found["firewall"], found["balance"]) == (False, None)
        (home.path / "passphrase").chmod(0o644)
        assert "only its owner can read" in home("wallet", "show").out
