"""One question, one answer: from the compiled form, from the interpreter and from an OPA server, ten thousand times.

The questions are the golden ones, and changed copies of them: numbers and amounts around every power of two where
somebody rounds, fields that are gone or of another type, odd texts, depth. They are made from a seed, so that what
fails once fails again.
"""

from __future__ import annotations

import asyncio
import copy
import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, cast

import pytest

from safebox.firewall.core.decision import Answer, Verdict, parse_answer
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import ENTRYPOINT, EmbeddedEngine
from safebox.firewall.engines.opa_load import load
from safebox.firewall.engines.opa_server import OpaServer
from safebox.firewall.errors import PolicyUnavailable
from safebox.firewall.policytools.golden import load_golden
from tests.opa import opa_server
from tests.unit.policy import cases

pytestmark = pytest.mark.opa

QUESTIONS: Final = 10_000
SEED: Final = 20_260_722
BATCH: Final = 250
"""Questions that the server is asked in one query; each is judged with `with input as`."""
SHARE_MIN: Final = 0.04
"""Of each verdict there must be so much, or the questions ask too little."""
EDGES: Final = tuple(edge + off for edge in (2**53, 2**63, 2**64, 2**256) for off in (-1, 0, 1))
TEXTS: Final = (
    "",
    " ",
    "é",
    "e\u0301",
    "\u202e",
    "\U0001f4b8",
    "\x00",
    "A" * 5_000,
    "İ",
    "ß",
    "<undefined>",
    "null",
    "0x",
)
TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT")
"""The firewall writes times itself, with a capital T and Z; OPA reads no others, and the embedded engine does."""
DEEP: Final = json.loads("[" * 60 + "]" * 60)
OTHERS: Final[tuple[object, ...]] = (None, True, False, 0, -1, 1, 10**18, "", "x", [], {}, [None], {"": None}, *EDGES)

Document = dict[str, Any]
Said = tuple[str, frozenset[str], str] | None
"""Verdict, codes and obligations; None where there is no answer."""
NO_ANSWER: Final = None


def questions() -> list[Document]:
    """The golden questions, and `QUESTIONS` more."""
    golden = load_golden(pack_folder() / "golden")
    bases = {verdict: [_parsed(each.document) for each in golden if each.verdict is verdict] for verdict in Verdict}
    bases[Verdict.ALLOW] += cases.good().values()
    dice = random.Random(SEED)  # noqa: S311 - not a secret
    changed = [_changed(dice, dice.choice(bases[dice.choice(list(Verdict))])) for _ in range(QUESTIONS)]
    return [*(document for each in bases.values() for document in each), *changed]


def _parsed(document: bytes) -> Document:
    return cast("Document", json.loads(document))


def _changed(dice: random.Random, base: Document) -> Document:
    document = copy.deepcopy(base)
    if dice.random() < 0.5:
        for amount in _amounts(document):
            if dice.random() < 0.3:
                amount["units"] = f"{_units(dice):078d}"
        return document
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        _change(dice, document)
    return document


def _units(dice: random.Random) -> int:
    return dice.choice((0, 1, 10**15, 10**18, dice.randrange(10**19), *(edge % 2**256 for edge in EDGES)))


def _amounts(value: object) -> Iterator[Document]:
    if isinstance(value, dict):
        held = cast("Document", value)
        if "units" in held:
            yield held
        for inner in held.values():
            yield from _amounts(inner)
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from _amounts(inner)


def _change(dice: random.Random, document: Document) -> None:
    """Change one field somewhere, or take it away."""
    *steps, last = dice.choice([path.split(".") for path in cases.paths(document)] or [["action"]])
    place: Any = document
    for step in steps:
        place = place[int(step) if isinstance(place, list) else step]
    key: Any = int(last) if isinstance(place, list) else last
    if dice.random() < 1 / 6:
        del place[key]
    else:
        place[key] = _another(dice, cast("object", place[key]))


def _another(dice: random.Random, value: object) -> object:
    """Something else in place of a value: often of its own type."""
    kind = dice.randrange(5)
    if kind == 0 and isinstance(value, str) and not TIME.match(value):
        return value.swapcase() or "x"
    if kind == 1 and isinstance(value, int):
        return dice.choice((*EDGES, 0, 1, value + 1))
    if kind == 2:
        return dice.choice(TEXTS)
    return copy.deepcopy(dice.choice((*OTHERS, DEEP)))


def _read(raw: str) -> Said:
    """What the firewall makes of an answer."""
    try:
        return _said(parse_answer(raw))
    except PolicyUnavailable:
        return NO_ANSWER


def _said(answer: Answer) -> Said:
    codes = frozenset(reason.code for reason in answer.reasons)
    return answer.verdict.value, codes, json.dumps(answer.obligations, sort_keys=True)


def compiled(documents: list[Document]) -> list[Said]:
    engine = EmbeddedEngine(load_bundle([pack_folder()]))
    said: list[Said] = []
    for document in documents:
        try:
            said.append(_said(engine.answer(cases.encode(document))))
        except PolicyUnavailable:
            said.append(NO_ANSWER)
    return said


def interpreted(documents: list[Document]) -> list[Said]:
    engine = cases.interpreter(load_bundle([pack_folder()]))
    said: list[Said] = []
    for document in documents:
        engine.set_input_json(json.dumps(document))
        try:
            said.append(_read(engine.eval_rule_as_json(ENTRYPOINT)))
        except RuntimeError:  # of what a builtin refuses it makes an error, where a server goes on
            said.append(NO_ANSWER)
    return said


async def asked_of_opa(documents: list[Document]) -> list[Said]:
    """Through a server that safebox loaded, over two connections."""
    query = f"answers := {{i: answer | some i, document in input; answer := {ENTRYPOINT} with input as document}}"
    with opa_server() as opa:
        server = OpaServer(opa.address)
        await load(server, load_bundle([pack_folder()]))
        await server.close()
        batches = [documents[start : start + BATCH] for start in range(0, len(documents), BATCH)]
        turns = asyncio.Semaphore(2)

        async def ask(batch: list[Document]) -> list[Said]:
            async with turns:
                status, said = await asyncio.to_thread(opa.call, "POST", "query", {"query": query, "input": batch})
            assert status == 200, said
            answers = said["result"][0]["answers"]
            return [_read(json.dumps(answers[str(i)])) if str(i) in answers else NO_ANSWER for i in range(len(batch))]

        return [each for said in await asyncio.gather(*map(ask, batches)) for each in said]


@pytest.mark.timeout(900)  # half a minute of two quiet cores
async def test_no_question_has_two_answers(capsys: pytest.CaptureFixture[str]) -> None:
    documents, took = questions(), dict[str, float]()
    started = time.perf_counter()
    ours = compiled(documents)
    took["compiled"] = time.perf_counter() - started
    started = time.perf_counter()
    others = {"interpreter": interpreted(documents)}
    took["interpreter"] = time.perf_counter() - started
    started = time.perf_counter()
    others["OPA server"] = await asked_of_opa(documents)
    took["OPA server"] = time.perf_counter() - started
    for name, theirs in others.items():
        differing = [
            (us, them, json.dumps(document))
            for document, us, them in zip(documents, ours, theirs, strict=True)
            if us != them and not (name == "interpreter" and them is NO_ANSWER and (us is None or us[0] == "deny"))
        ]
        assert not differing, (name, len(differing), differing[0])
    verdicts = Counter(said[0] if said else "no answer" for said in ours)
    assert all(verdicts[verdict] >= SHARE_MIN * len(documents) for verdict in ("allow", "deny", "hold")), verdicts
    assert len({code for said in ours if said for code in said[1]}) > len(EDGES), "few reasons are ever given"
    times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items())
    with capsys.disabled():
        print(f"\n{len(documents)} questions, {dict(verdicts)}, no disagreement; {times}")
