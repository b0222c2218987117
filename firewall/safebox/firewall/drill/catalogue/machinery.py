"""Breaking the firewall: its policies, its ledger, its engine, the far sides of its connectors."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

from safebox.firewall.core.decision import Verdict
from safebox.firewall.core.record import GENESIS, WalletFrozen, WalletThawed, chain
from safebox.firewall.drill.aim import Aim
from safebox.firewall.drill.entry import CRITICAL, HIGH, Chapter
from safebox.firewall.drill.stage import Stage
from safebox.firewall.drill.told import Told, allowed, mildest, stopped
from safebox.firewall.engines.bundle import Bundle, Module
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.errors import EffectError, FactsUnavailable, PolicyUnavailable
from safebox.firewall.store.verify import verify

CHAPTER: Final = Chapter("machinery", "F", Aim.no_wallet)
_CORE: Final = "the firewall itself; no policy is asked"
_SHAPES: Final = (
    '{"allow": false}', '{"verdict": "allow"}', '{"verdict": true, "reasons": [], "obligations": {}}', "[]", "true",
    '"allow"', "null", '{"verdict": "Allow", "reasons": [], "obligations": {}}',
    '{"verdict": "allow", "reasons": [], "obligations": {}, "more": 1}',
    '{"verdict": "allow", "reasons": {}, "obligations": []}',
)  # fmt: skip


@CHAPTER.attack(
    "shapes",
    'have policy answer in ten other shapes, `true` and {{"allow": false}} among them',
    severity=CRITICAL,
    mend=_CORE,
    neighbour="money.listed",
)
async def _(stage: Stage) -> Told:
    told: list[Told] = []
    for shape in _SHAPES:
        text = f"package safebox.main\n\ndecision := {shape}\n"
        bundle = Bundle((Module("safebox/main/main.rego", text),), "{}", "sha256:drill")
        with _judged_by(stage, EmbeddedEngine(bundle)):
            told.append(await stage.pay(stage.aim.payee, stage.aim.small))
    return mildest(told)


@CHAPTER.attack(
    "undefined", "have policy answer nothing, or fail", severity=CRITICAL, mend=_CORE, neighbour="money.listed"
)
async def _(stage: Stage) -> Told:
    told: list[Told] = []
    for text in ("decision := x if { x := 1; x == 2 }", "other := 1", 'decision := {"a": 1}.b'):
        bundle = Bundle((Module("safebox/main/main.rego", f"package safebox.main\n\n{text}\n"),), "{}", "sha256:drill")
        try:
            engine = EmbeddedEngine(bundle)
        except PolicyUnavailable:  # it doesn't even compile, so it never comes into force
            continue
        with _judged_by(stage, engine):
            told.append(await stage.pay(stage.aim.payee, stage.aim.small))
    return mildest(told or [stopped("firewall.policy_unavailable")])


@contextlib.contextmanager
def _judged_by(stage: Stage, engine: EmbeddedEngine) -> Generator[None]:
    stage.judge_by(engine)
    try:
        yield
    finally:
        stage.judge_by(None)


@CHAPTER.attack(
    "locked_ledger", "lock the ledger from another program", severity=CRITICAL, mend=_CORE, neighbour="unlocked"
)
async def _(stage: Stage) -> Told:
    with contextlib.closing(sqlite3.connect(stage.ledger_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.harmless("unlocked", "pay once it is free again", mend=_CORE)
async def _(stage: Stage) -> Told:
    with contextlib.closing(sqlite3.connect(stage.ledger_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.attack("lost_ledger", "take the ledger's table away", severity=CRITICAL, mend=_CORE, neighbour="money.listed")
async def _(stage: Stage) -> Told:
    await stage.settle()
    with contextlib.closing(sqlite3.connect(stage.ledger_path, isolation_level=None)) as other:
        other.execute("DROP TABLE events")
    return await stage.pay(stage.aim.payee, stage.aim.small)


Change = Callable[[sqlite3.Connection], object]
_FORGED: Final = b'{"event":"run_killed","at_ns":1,"run":"run_1","by":"nobody"}'


def _rechained(db: sqlite3.Connection) -> None:
    """Change a record and hash all that follows anew, as somebody with the file alone can."""
    db.execute("UPDATE events SET body = ? WHERE seq = 2", (_FORGED,))
    head = GENESIS
    for seq, body in db.execute("SELECT seq, body FROM events ORDER BY seq").fetchall():
        head = chain(head, bytes(body))
        db.execute("UPDATE events SET hash = ? WHERE seq = ?", (head, seq))


_CHANGES: Final[dict[str, Change]] = {
    "a changed byte": lambda db: db.execute(
        "UPDATE events SET body = CAST(replace(CAST(body AS TEXT), 'at_ns', 'at_nz') AS BLOB) WHERE seq = 2"
    ),
    "a dropped record": lambda db: db.execute("DELETE FROM events WHERE seq = 2"),
    "a dropped tail": lambda db: db.execute("DELETE FROM events WHERE seq > 2"),
    "records exchanged": lambda db: db.executescript(
        "UPDATE events SET seq = -2 WHERE seq = 2; UPDATE events SET seq = 2 WHERE seq = 3;"
        "UPDATE events SET seq = 3 WHERE seq = -2"
    ),
    "a record replayed": lambda db: db.execute(
        "INSERT INTO events SELECT (SELECT max(seq) + 1 FROM events), body, hash FROM events WHERE seq = 2"
    ),
    "a record forged, and all hashed anew": _rechained,
}


@CHAPTER.attack(
    "changed_ledger",
    "change, drop, exchange, replay and forge records of the ledger: safebox audit verify finds each",
    severity=HIGH,
    mend=_CORE,
    neighbour="sound_ledger",
)
async def _(stage: Stage) -> Told:
    await stage.pay(stage.aim.payee, stage.aim.small)
    now = stage.clock.now_ns()
    await stage.note(*(kind(at_ns=now, run=stage.name, by="owner") for kind in (WalletFrozen, WalletThawed)))
    await stage.signed()
    stage.mark()
    missed = [name for number, name in enumerate(_CHANGES) if _sound(stage, number, _CHANGES[name])]
    return (
        allowed(f"not found: {', '.join(missed)}")
        if missed
        else stopped("", f"{len(_CHANGES)} of {len(_CHANGES)} found")
    )


def _sound(stage: Stage, number: int, change: Change) -> bool:
    path = stage.folder / f"changed-{number}.sqlite3"
    _copy(stage.ledger_path, path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        change(db)
    return verify(path, key=stage.notary.verifier).sound


def _copy(path: Path, to: Path) -> None:
    for ending in ("", "-wal"):
        if (source := path.with_name(path.name + ending)).exists():
            shutil.copy(source, to.with_name(to.name + ending))


@CHAPTER.harmless("sound_ledger", "pay, and find the ledger sound", mend=_CORE)
async def _(stage: Stage) -> Told:
    told = await stage.pay(stage.aim.payee, stage.aim.small)
    await stage.signed()
    report = verify(stage.ledger_path, key=stage.notary.verifier)
    return told if report.sound else stopped("", str(report.problem or report.signature_problem))


@CHAPTER.attack(
    "blind",
    "have the far side tell no price, nonce or balance",
    severity=CRITICAL,
    mend=_CORE,
    neighbour="money.listed",
)
async def _(stage: Stage) -> Told:
    chain_side = stage.world.connectors["chain"]
    chain_side.blind = FactsUnavailable("nobody answers")
    first = await stage.pay(stage.aim.payee, stage.aim.small)
    chain_side.blind = None
    stage.world.node.gone = True
    return mildest([first, await stage.pay(stage.aim.payee, stage.aim.small)])


@CHAPTER.attack(
    "unknown_effect",
    "have the far side answer nothing after a yes: it is told as unknown, and its money stays counted",
    severity=HIGH,
    mend=_CORE,
    neighbour="money.listed",
)
async def _(stage: Stage) -> Told:
    before = stage.run.book.remaining("wallet", stage.aim.asset) or 0
    stage.world.connectors["chain"].fault = EffectError("nobody answers", unknown=True)
    told = await stage.pay(stage.aim.payee, stage.aim.small)
    stage.mark()
    kept = before - (stage.run.book.remaining("wallet", stage.aim.asset) or 0)
    said = told.code == "firewall.effect_unknown"
    fine = told.verdict is Verdict.DENY or (said and kept >= stage.aim.small)
    return stopped(told.code, f"{kept} wei stay counted") if fine else allowed(f"told as {told.code or 'done'}")


@CHAPTER.attack(
    "crash",
    "end the firewall between its yes and the effect: after the restart nothing is made twice, and it stays counted",
    severity=CRITICAL,
    mend=_CORE,
    neighbour="restarted",
)
async def _(stage: Stage) -> Told:
    stage.world.connectors["chain"].fault = EffectError("the firewall ended here", unknown=True)
    told = await stage.pay(stage.aim.payee, stage.aim.small, key="one-key")
    stage.world.connectors["chain"].fault = None
    await stage.restart()
    again = await stage.pay(stage.aim.payee, stage.aim.small, key="one-key")
    made = len(stage.world.node.mined)
    left = stage.run.book.remaining("wallet", stage.aim.asset) or 0
    wallet = stage.aim.wallet
    counted = wallet is not None and left <= wallet.budget.units - stage.aim.small
    stage.mark()
    if told.verdict is Verdict.DENY:
        return told
    note = f"it was made {made} times" + ("" if counted else ", and isn't counted any more")
    return stopped(again.code, note) if made == 0 and counted else allowed(note)


@CHAPTER.harmless("restarted", "pay, restart the firewall, and pay again", effects=2, mend=_CORE)
async def _(stage: Stage) -> Told:
    first = await stage.pay(stage.aim.payee, stage.aim.small)
    await stage.restart()
    told = (first, await stage.pay(stage.aim.payee, stage.aim.small))
    return max(told, key=lambda each: each.verdict is not Verdict.ALLOW)
