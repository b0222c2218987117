"""What must hold after every kill and at the end: the world, the clients and the ledger tell the same story.

Rule 1: every effect in the world has exactly one durable allow, dated before it, that says the same.
Rule 2: no effect is there twice.
Rule 3: what a client was told is what the ledger says.
Rule 4: no budget is exceeded, in the ledger or in the world.
Rule 5: the books are what the ledger adds up to, and what the chain holds.

Each check gives the sentences that say what is wrong.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from tests.crash.far_sides import Mails
from tests.crash.journal import Journal, Question
from tests.crash.load import READS
from tests.crash.sightings import Sightings
from tests.crash.wire import ModelWire
from tests.crash.witness import Decision, Witness
from tests.live import Answered

DONE, REFUSED, FAILED, LATER, UNKNOWN = 200, (403, 429), 502, 503, 504
BOOKS_TRIES, BOOKS_PAUSE_SECONDS = 20, 0.01
_SAYS_NOTHING: Final = (400, 409)


class Checks:
    """Holds everything that became known against the ledger, while no firewall lives."""

    def __init__(self, witness: Witness, journal: Journal, mails: Mails, model: ModelWire, found: Sightings) -> None:
        self._witness, self._journal = witness, journal
        self._mails, self._model, self._found = mails, model, found
        self._checked: Counter[str] = Counter()
        self._seen: set[str] = set()
        self._twice: set[tuple[str, str]] = set()
        self.answers = 0

    def after_a_kill(self) -> Iterator[str]:
        """Look at what is new."""
        mails, asked = self._new("mail", self._mails.kept), self._new("model", self._model.asked)
        self._found.look()
        answers = self._journal.fresh()
        self.answers += len(answers)
        self._witness.read()  # last: what the world shows by now must be written by now
        yield from self._contradictions()
        for mail in mails:
            yield from self._mail(mail)
        for one in asked:
            yield from self._one_allow("inference.chat", one.mark, one.at_ns)
        yield from self._sandboxes()
        for question, answer in answers:
            yield from self._told(question, answer)

    def after_a_start(self, ask: Callable[[str], dict[str, Any]]) -> Iterator[str]:
        """Hold the firewall's own books against its ledger, both being used meanwhile: once they must agree."""
        wrong: list[str] = []
        for _ in range(BOOKS_TRIES):
            runs = ask("ps")["runs"]
            self._witness.read()
            wrong = [each["run"] for each in runs if _lines(each) != self._folded(each["run"])]
            if not wrong:
                break
            time.sleep(BOOKS_PAUSE_SECONDS)
        else:
            yield f"the books of {wrong} are not what the ledger adds up to"
        yield from self._contradictions()

    def _folded(self, run: str) -> dict[tuple[str, str], tuple[int, int, int]]:
        lines = self._witness.runs[run].lines
        return {line: (book.granted, book.spent, book.reserved) for line, book in lines.items()}

    def _contradictions(self) -> Iterator[str]:
        faults, self._witness.faults = self._witness.faults, []
        yield from faults

    def _new(self, kind: str, everything: list[Any]) -> list[Any]:
        new = everything[self._checked[kind] :]
        self._checked[kind] += len(new)
        return new

    def _one_allow(self, tool: str, mark: str, at_ns: int) -> Iterator[str]:
        allows = [each for each in self._witness.marked[tool, mark] if each.allowed]
        if len(allows) != 1:
            yield f"{tool} {mark} was done, and the ledger allows it {len(allows)} times"
        elif allows[0].at_ns > at_ns:
            yield f"{tool} {mark} was done before it was allowed by {allows[0].id}"
        if (tool, mark) in self._twice:
            yield f"{tool} {mark} was done twice"
        self._twice.add((tool, mark))

    def _mail(self, mail: dict[str, Any]) -> Iterator[str]:
        yield from self._one_allow("email.send", mail["mark"], mail["at_ns"])
        for decision in self._witness.marked["email.send", mail["mark"]]:
            if decision.allowed and (decision.plan["digest"], f"<{decision.action}@") != _named(mail):
                yield f"the mail {mail['mark']} is not the one {decision.action} was allowed"

    def _sandboxes(self) -> Iterator[str]:
        for name, sighting in list(self._found.seen.items()):
            if sighting.started and name not in self._seen:
                self._seen.add(name)
                run, _, action = sighting.reference.partition(".")
                decision = self._witness.actions.get(action)
                if decision is None or not decision.allowed or decision.run != run:
                    yield f"sandbox {name} runs for {sighting.reference}, and no record allows that"
                else:
                    yield from self._one_allow("compute.start", decision.mark, sighting.at_ns)

    def _told(self, question: Question, answer: Answered) -> Iterator[str]:
        decision = self._witness.decisions.get(decision_of(answer))
        if answer.status in _SAYS_NOTHING or (decision is None and answer.status in (LATER, 429)):
            return
        said = f"a client was told {answer.status} {answer.code} about {question.tool} {question.mark}"
        if decision is None:
            yield f"{said} and the ledger has no such decision"
            return
        if (decision.run, decision.tool, decision.mark) != (question.run, question.tool, question.mark):
            yield f"{said} by a decision on something else, {decision.tool} {decision.mark}"
        if not _agree(answer, decision):
            yield f"{said} and the ledger says {decision.verdict} {decision.code} {decision.status}"


def _lines(shown: dict[str, Any]) -> dict[tuple[str, str], tuple[int, int, int]]:
    return {
        (each["rail"], each["asset"]): (int(each["granted"]), int(each["spent"]), int(each["reserved"]))
        for each in shown["lines"]
    }


def decision_of(answer: Answered) -> str:
    """The decision an answer names; empty if it names none."""
    named = answer.document.get("decision_id") or answer.document.get("error", {}).get("decision_id")
    return str(named or answer.headers.get("x-request-id", ""))


def _named(mail: dict[str, Any]) -> tuple[str, str]:
    return mail["digest"], mail["id"].partition("@")[0] + "@"


def _agree(answer: Answered, decision: Decision) -> bool:
    """Whether the ledger says of an action what a client was told, then or since."""
    if answer.status in REFUSED:
        return not decision.allowed and decision.code == answer.code
    if answer.status == LATER:
        return not decision.allowed
    if not decision.allowed:
        return False
    if answer.status == UNKNOWN or decision.tool in READS:  # the outcome of a read may be lost with its firewall
        return True
    told = "done" if answer.status == DONE else "failed"
    return any(each.status == told and _same(answer, each.result) for each in decision.outcomes)


def _same(answer: Answered, result: dict[str, Any]) -> bool:
    return "result" not in answer.document or bool(answer.document["result"] == result)
