"""`audit prove` and `audit check-proof`: one record proved to somebody who has the public key and nothing else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from safebox.firewall.core.checkpoint import Verifier
from safebox.firewall.errors import ConfigError
from safebox.firewall.store.notary import Notary
from safebox.firewall.store.proof import Proof, check, prove
from safebox.firewall.store.reader import read_events
from safebox.firewall.store.sqlite import SqliteStore
from tests.adversarial.test_nothing_acts_without_a_durable_allow import pay
from tests.integration.cli.program import Program
from tests.twins import MemoryStore, Rig


async def _ledger(folder: Path) -> tuple[Path, Verifier, str]:
    """A ledger of two payments on disk; its key, and the first payment's decision."""
    memory = MemoryStore()
    rig = Rig(memory)
    first = await rig.pipeline.handle(pay())
    await rig.pipeline.handle(pay())
    path, notary = folder / "ledger.sqlite3", Notary.open(folder / "keystore")
    store = SqliteStore(path, notary=notary)
    await store.append(memory.records)
    store.close()
    return path, notary.verifier, str(first.decision_id)


def test_a_decision_and_its_outcome_are_proved_by_the_same_id(tmp_path: Path) -> None:
    path, key, decision = asyncio.run(_ledger(tmp_path))
    decided, settled = (check(proof, key) for proof in prove(path, decision))
    assert (decided["event"], decided["decision"]) == ("decided", decision)
    assert (settled["event"], settled["decision"]) == ("settled", decision)


def test_a_proof_of_another_place_record_or_key_proves_nothing(tmp_path: Path) -> None:
    path, key, decision = asyncio.run(_ledger(tmp_path))
    first, second = prove(path, decision)
    stranger = Notary.open(tmp_path / "stranger").verifier
    forged = [
        (Proof(index=second.index, record=first.record, path=first.path, checkpoint=first.checkpoint), key),
        (Proof(index=first.index, record=second.record, path=first.path, checkpoint=first.checkpoint), key),
        (Proof(index=first.index, record=first.record, path=second.path, checkpoint=first.checkpoint), key),
        (Proof(index=first.index, record=first.record, path=first.path[:-1], checkpoint=first.checkpoint), key),
        (first, stranger),
    ]
    for proof, verifier in forged:
        with pytest.raises(ConfigError):
            check(proof, verifier)


def test_an_id_nobody_signed_has_no_proof(tmp_path: Path) -> None:
    path, _, _ = asyncio.run(_ledger(tmp_path))
    with pytest.raises(ConfigError, match="no signed record"):
        prove(path, "dec_nobody")


def test_the_commands_prove_to_somebody_with_the_key_alone(tmp_path: Path) -> None:
    safebox = Program(tmp_path)
    path, key, decision = asyncio.run(_ledger(tmp_path))
    proved = safebox("audit", "prove", decision, "--ledger", str(path))
    assert proved.status == 0
    (tmp_path / "proof").write_text(proved.out, encoding="utf-8")
    (tmp_path / "key").write_text(key.text(), encoding="utf-8")
    told = safebox("audit", "check-proof", str(tmp_path / "proof"), "--key", str(tmp_path / "key"), "--json")
    assert told.status == 0
    assert {json.loads(line)["event"] for line in told.out.splitlines()} == {"decided", "settled"}
    (tmp_path / "proof").write_text(proved.out.replace('"index": ', '"index": 1'), encoding="utf-8")
    assert safebox("audit", "check-proof", str(tmp_path / "proof"), "--key", str(tmp_path / "key")).status == 3


def test_export_gives_every_event_once_and_in_order(tmp_path: Path) -> None:
    safebox = Program(tmp_path)
    path, _, _ = asyncio.run(_ledger(tmp_path))
    lines = [json.loads(line) for line in safebox("audit", "export", str(path)).out.splitlines()]
    assert [line.pop("record") for line in lines] == list(range(1, len(lines) + 1))
    assert lines == [event for _, event in read_events(path)]
    later = safebox("audit", "export", str(path), "--after", "3").out.splitlines()
    assert len(later) == len(lines) - 3


def test_what_is_proved_is_what_was_recorded(tmp_path: Path) -> None:
    path, key, decision = asyncio.run(_ledger(tmp_path))
    recorded = [event for _, event in read_events(path) if event.get("decision") == decision]
    assert [check(proof, key) for proof in prove(path, decision)] == recorded
