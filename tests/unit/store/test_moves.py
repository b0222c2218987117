"""Movements of money are read from any ledger, whatever stands in it, and no more of it is kept than is shown."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from safebox.firewall.store.database import open_database
from safebox.firewall.store.moves import read_leases, read_moves

RUN = "run_01m823p04f95wbzs0nvbxahaax"
HASH = "0x" + "ab" * 32


def eth(units: int) -> dict[str, str]:
    return {"asset": "ETH", "units": str(units).zfill(78)}


def decided(action: str, tool: str, amount: int | None, *, verdict: str = "allow", run: str = RUN) -> dict[str, Any]:
    args = {"to": "0xto", "amount": None if amount is None else eth(amount)}
    return {
        "event": "decided", "at_ns": 5, "run": run, "tool": tool, "action_id": action, "caller": "owner",
        "answer": {"verdict": verdict}, "action": {"args": args}, "plan": {"sender": "0xfrom", "value": eth(9)},
    }  # fmt: skip


def settled(action: str, tool: str, status: str, taken: int = 0, **more: Any) -> dict[str, Any]:
    charges = [{"rail": "wallet", "amount": eth(taken)}] if taken else []
    result = {"transaction_hash": HASH, "block_number": 4}
    return {
        "event": "settled", "at_ns": 6, "run": RUN, "tool": tool, "action_id": action, "status": status,
        "charges": charges, "result": result, "detail": "", **more,
    }  # fmt: skip


def started(run: str = RUN) -> dict[str, Any]:
    mandate = {"wallet": {"budget": eth(7)}}
    return {"event": "run_started", "at_ns": 1, "run": run, "run_view": {"address": "0xa"}, "mandate": mandate}


def ledger(path: Path, *events: dict[str, Any]) -> Path:
    db = open_database(path / "ledger.sqlite3")
    rows = ((json.dumps(event, separators=(",", ":")).encode(), b"") for event in events)
    with db:
        db.executemany("INSERT INTO events (body, hash) VALUES (?, ?)", rows)
    db.close()
    return path / "ledger.sqlite3"


def test_the_last_word_on_a_movement_counts_and_what_was_refused_moved_nothing(tmp_path: Path) -> None:
    path = ledger(
        tmp_path,
        decided("a", "wallet.transfer", 5),
        settled("a", "wallet.transfer", "unknown"),
        decided("no", "wallet.transfer", 5, verdict="deny"),
        decided("held", "wallet.transfer", 5, verdict="hold"),
        decided("look", "wallet.balance", None),
        decided("mail", "email.send", None),
        settled("a", "wallet.transfer", "done", 7),
        decided("b", "wallet.sweep", None),
        decided("c", "wallet.transfer", 3),
        settled("c", "wallet.transfer", "failed", 2),
    )
    first, second, third = read_moves(path, most=None)
    assert (first["what"], first["status"], first["transaction"], first["block"]) == ("transfer", "done", HASH, 4)
    assert int(first["fee"]["units"]) == 2
    assert (second["what"], second["status"], int(second["amount"]["units"])) == ("sweep", "under way", 9)
    assert (second["fee"], second["transaction"]) == (None, None)
    assert (third["status"], int(third["fee"]["units"])) == ("failed", 2)


def test_what_an_agent_writes_is_no_movement(tmp_path: Path) -> None:
    told = {"event": "decided", "tool": "mcp.call", "run": RUN, "action": {"args": {"tool": "wallet.fund"}}}
    odd = {"event": "received", "run": RUN, "at_ns": 3, "amount": "much"}
    stray = settled("nobody", "wallet.fund", "done", 5)
    (row,) = read_moves(ledger(tmp_path, told, stray, odd, {"event": "decided", "tool": "wallet.none"}), most=None)
    assert (row["what"], row["amount"]) == ("income", None)


def test_only_the_newest_are_kept_of_a_long_ledger(tmp_path: Path) -> None:
    events = (decided(f"a{number}", "wallet.transfer", number) for number in range(3_000))
    rows = read_moves(ledger(tmp_path, *events), most=2)
    assert [int(row["amount"]["units"]) for row in rows] == [2_998, 2_999]
    assert read_moves(tmp_path / "ledger.sqlite3", most=5, run="other") == []


def test_a_wallet_may_hold_money_from_its_funding_to_a_whole_sweep_that_is_done(tmp_path: Path) -> None:
    def holds(*events: dict[str, Any]) -> bool:
        (tmp_path / "ledger.sqlite3").unlink(missing_ok=True)
        return bool(read_leases(ledger(tmp_path, started(), *events))[RUN]["holds"])

    fund = decided("f", "wallet.fund", 7)
    assert not holds()
    assert holds(fund)
    assert holds(fund, settled("f", "wallet.fund", "done", 7))
    part = decided("s", "wallet.sweep", 2), settled("s", "wallet.sweep", "done", 2)
    assert holds(fund, *part)
    whole = decided("w", "wallet.sweep", None)
    assert holds(fund, whole, settled("w", "wallet.sweep", "unknown"))
    assert not holds(fund, whole, settled("w", "wallet.sweep", "unknown"), settled("w", "wallet.sweep", "done", 7))
    assert not holds(fund, whole, settled("w", "wallet.sweep", "done", 7), {"event": "run_ended", "run": RUN})


def test_records_without_a_mark_are_never_decoded(tmp_path: Path) -> None:
    path = ledger(tmp_path, decided("a", "wallet.transfer", 5))
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO events (body, hash) VALUES (?, ?)", (b"no json at all", b""))
    db.close()
    assert len(read_moves(path, most=None)) == 1
