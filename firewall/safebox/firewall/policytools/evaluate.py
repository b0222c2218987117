"""What a policy answers to documents, asked in a child process: a policy may end the process that evaluates it.

`python -m safebox.firewall.policytools.evaluate` is the child.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from safebox.firewall.core.decision import Answer
from safebox.firewall.engines.bundle import Bundle, decode_bundle
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.engines.validate import validate
from safebox.firewall.errors import PolicyUnavailable
from safebox.firewall.policytools.apart import answer_apart, ask_apart

_MODULE: Final = "safebox.firewall.policytools.evaluate"
ROUNDS: Final = 9
"""Evaluations of one document of which the median time is told."""


class Evaluated(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. Without one, `why` says what policy did instead; in force that is a no.

    `seconds` is the median of some evaluations where the time was asked for.
    """

    answer: Answer | None
    why: str = ""
    seconds: float | None = None


class _Question(msgspec.Struct, frozen=True):
    bundle: bytes
    documents: tuple[bytes, ...]
    timed: bool


def evaluate(bundle: Bundle, documents: Sequence[bytes], *, timed: bool = False) -> tuple[Evaluated, ...]:
    """Ask a policy about documents, each a whole policy input as JSON.

    Args:
        bundle: is asked, after it was found fit to come into force.
        documents: are asked about, in this order.
        timed: also measure how long each takes.

    Raises:
        PolicyUnavailable: if the policy would not come into force, or ends the process that asks it.
    """
    require_fit(bundle)
    question = _Question(bundle.encode(), tuple(documents), timed)
    return ask_apart(_MODULE, question, tuple[Evaluated, ...])


def require_fit(bundle: Bundle) -> None:
    """Let a policy pass that may come into force.

    Raises:
        PolicyUnavailable: if it may not.
    """
    problem = validate(bundle)
    if problem is not None:
        raise PolicyUnavailable(
            f"this policy would not come into force: {problem}", remedy="safebox policy check says where"
        )


def _evaluate(question: _Question) -> tuple[Evaluated, ...]:
    engine = EmbeddedEngine(decode_bundle(question.bundle))
    return tuple(_one(engine, document, question.timed) for document in question.documents)


def _one(engine: EmbeddedEngine, document: bytes, timed: bool) -> Evaluated:
    try:
        answer = engine.answer(document)
    except PolicyUnavailable as error:
        return Evaluated(answer=None, why=error.cause)
    return Evaluated(answer=answer, seconds=_seconds(engine, document) if timed else None)


def _seconds(engine: EmbeddedEngine, document: bytes) -> float:
    times: list[float] = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        engine.answer(document)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    answer_apart(_Question, _evaluate)
