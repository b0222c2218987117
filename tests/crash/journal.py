"""What clients asked and were told, as they remember it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from tests.live import Answered


@dataclass(slots=True)
class Question:
    """One thing a client wants: asked once, or under a key as often as it takes. `mark` is that of the ledger."""

    run: str
    tool: str
    mark: str
    key: str | None
    answers: list[Answered] = field(default_factory=list[Answered])
    tries: int = 0

    @property
    def answer(self) -> Answered | None:
        """The last answer."""
        return self.answers[-1] if self.answers else None


class Journal:
    """All questions, and the answers nobody has held against the ledger yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fresh: list[tuple[Question, Answered]] = []
        self._numbers = 0
        self.questions: list[Question] = []

    def number(self) -> int:
        """A number that was never given before."""
        with self._lock:
            self._numbers += 1
            return self._numbers

    def ask(self, question: Question) -> None:
        """Note that something is about to be asked."""
        with self._lock:
            question.tries += 1
            if question.tries == 1:
                self.questions.append(question)

    def told(self, question: Question, answer: Answered) -> None:
        """Note an answer."""
        with self._lock:
            question.answers.append(answer)
            self._fresh.append((question, answer))

    def fresh(self) -> list[tuple[Question, Answered]]:
        """What was answered since this was last asked."""
        with self._lock:
            fresh, self._fresh = self._fresh, []
            return fresh
