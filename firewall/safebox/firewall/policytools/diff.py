"""What two policies answer differently to the same questions: the golden set, or others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from safebox.firewall.core.decision import Answer
from safebox.firewall.engines.bundle import Bundle
from safebox.firewall.policytools.comparison import Kind, difference
from safebox.firewall.policytools.evaluate import Evaluated, evaluate
from safebox.firewall.policytools.golden import Golden


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One question that the two answer differently. `after` is None where the second gives no usable answer.

    `unexpected` says that the second doesn't answer as the golden set has it.
    """

    name: str
    kind: Kind
    before: Answer | None
    after: Answer | None
    unexpected: bool
    why: str = ""


class DiffReport(msgspec.Struct, frozen=True, kw_only=True):
    """All differences, what is looser first, and how many there are of each kind."""

    first: str
    second: str
    cases: int
    counts: dict[str, int]
    differences: tuple[Difference, ...]


def diff(first: Bundle, second: Bundle, cases: Sequence[Golden]) -> DiffReport:
    """Ask two policies the same questions.

    Raises:
        PolicyUnavailable: if one of them would not come into force, or ends the process that asks it.
    """
    documents = [case.document for case in cases]
    answers = zip(cases, evaluate(first, documents), evaluate(second, documents), strict=True)
    found = [each for each in (_compared(*answer) for answer in answers) if each is not None]
    order = {kind: number for number, kind in enumerate(Kind)}
    counts = Counter(each.kind for each in found)
    return DiffReport(
        first=first.digest,
        second=second.digest,
        cases=len(cases),
        counts={kind.value: counts[kind] for kind in Kind},
        differences=tuple(sorted(found, key=lambda each: order[each.kind])),
    )


def _compared(case: Golden, before: Evaluated, after: Evaluated) -> Difference | None:
    kind = _kind(before.answer, after.answer)
    if kind is None:
        return None
    told = None if after.answer is None else (after.answer.verdict, tuple(each.code for each in after.answer.reasons))
    return Difference(
        name=case.name,
        kind=kind,
        before=before.answer,
        after=after.answer,
        unexpected=told != (case.verdict, case.codes),
        why=after.why,
    )


def _kind(before: Answer | None, after: Answer | None) -> Kind | None:
    """How they differ. No answer is a no in force, but never the same as one."""
    if after is None:
        return Kind.UNANSWERED
    return Kind.NEWLY_ALLOWED if before is None and after.verdict == "allow" else _other(before, after)


def _other(before: Answer | None, after: Answer) -> Kind | None:
    return Kind.CHANGED if before is None else difference(before, after)
