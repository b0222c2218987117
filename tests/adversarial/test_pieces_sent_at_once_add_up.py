"""Law 8: a run gains nothing by sending the pieces of itself at the same moment, or while the firewall has trouble."""

from __future__ import annotations

import asyncio
import json
import pickle
from typing import Any

from safebox.firewall.core.action import Call
from safebox.firewall.core.reply import Status
from safebox.firewall.errors import PolicyUnavailable
from safebox.firewall.evidence import Evidence
from tests.real_parts import ROOT
from tests.twins import Rig

SOURCE = (ROOT / "agents/redteam/replicator/main.py").read_text()
PIECES = [SOURCE[at : at + 1200] for at in range(0, len(SOURCE), 1200)]


def rig() -> Rig:
    made = Rig()
    made.run.evidence = Evidence({"main.py": SOURCE.encode()})
    return made


def mail(body: str) -> Call:
    return Call(run="run_1", tool="email.send", arguments={"to": ["a@b.example"], "subject": "", "body": body})


def matched(asked: list[bytes]) -> list[int]:
    overlaps: list[dict[str, Any]] = [json.loads(document)["facts"]["self_overlap"] for document in asked]
    return [overlap["matched"] for overlap in overlaps]


async def test_each_piece_is_judged_with_all_that_were_allowed_before_it_however_fast_they_come() -> None:
    one_by_one, at_once = rig(), rig()
    for piece in PIECES:
        await one_by_one.pipeline.handle(mail(piece))
    await asyncio.gather(*(at_once.pipeline.handle(mail(piece)) for piece in PIECES))
    alone = matched(one_by_one.engine.asked)
    assert alone[-1] > alone[0]
    assert matched(at_once.engine.asked) == alone


async def test_what_was_denied_never_left_and_does_not_count() -> None:
    it = rig()
    it.engine.deny()
    for _ in range(3):
        assert (await it.pipeline.handle(mail(PIECES[0]))).status is Status.DENIED
    it.engine.answer = Rig().engine.answer
    await it.pipeline.handle(mail(PIECES[1]))
    fresh = rig()
    await fresh.pipeline.handle(mail(PIECES[1]))
    assert matched(it.engine.asked)[-1] == matched(fresh.engine.asked)[-1]


async def test_nothing_is_kept_of_what_could_not_be_decided() -> None:
    it = rig()
    it.engine.answer = PolicyUnavailable("away", kind="missing")
    before = len(pickle.dumps(vars(it.run.evidence)))
    for piece in PIECES:
        assert (await it.pipeline.handle(mail(piece))).status is Status.UNAVAILABLE
    assert len(pickle.dumps(vars(it.run.evidence))) == before
