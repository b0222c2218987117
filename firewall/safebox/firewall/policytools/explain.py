"""Why policy answered as it did: which rules spoke, on what lines and values, and what would have to differ.

`python -m safebox.firewall.policytools.explain` is the child that finds it out: evaluating a foreign policy may end the
process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from safebox.firewall.core.decision import Answer, Reason, Verdict
from safebox.firewall.engines.bundle import Bundle, Module
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.engines.syntax import Path, field_of, text_of
from safebox.firewall.policytools.anatomy import Anatomy, Written
from safebox.firewall.policytools.apart import answer_apart, ask_apart
from safebox.firewall.policytools.codes import JUDGING
from safebox.firewall.policytools.evaluate import require_fit
from safebox.firewall.policytools.flips import Flip, Search
from safebox.firewall.policytools.metadata import Metadata, read_metadata
from safebox.firewall.policytools.whynot import Line, Tracer, Value

NO_RULE: Final = "main.no_rule_allows"
_MODULE: Final = "safebox.firewall.policytools.explain"

__all__ = ["Explanation", "Flip", "Line", "Spoken", "Value", "explain"]


class Spoken(msgspec.Struct, frozen=True, kw_only=True):
    """One reason of an answer, and the rule that gave it.

    `lines` are that rule's, with what they rest on. `flips` are single changes that take the reason away, each seen to
    work; none means that none was found. Without a rule (`file` is empty) the reason is the default's.
    """

    code: str
    message: str
    effect: str
    file: str = ""
    line: int = 0
    title: str = ""
    description: str = ""
    threat: str = ""
    severity: str = ""
    remedy: str = ""
    lines: tuple[Line, ...] = ()
    flips: tuple[Flip, ...] = ()


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """An answer and each of its reasons. `together` is the answer once the first flip of each reason is made at once.

    `monitored` are rules that would have spoken if they were enforced, `allowing` those that allow it. `cut_off` says
    that the search for flips ended before it was through.
    """

    bundle: str
    answer: Answer
    reasons: tuple[Spoken, ...]
    monitored: tuple[Spoken, ...]
    allowing: tuple[Spoken, ...]
    together: Answer | None
    cut_off: bool


class _Question(msgspec.Struct, frozen=True):
    modules: tuple[Module, ...]
    data: str
    digest: str
    document: bytes


def explain(bundle: Bundle, document: bytes) -> Explanation:
    """Explain what a policy answers to a document.

    Raises:
        PolicyUnavailable: if the policy would not come into force, gives no answer, or ends the process that asks it.
    """
    require_fit(bundle)
    return ask_apart(_MODULE, _Question(bundle.modules, bundle.data, bundle.digest, document), Explanation)


def _explain(question: _Question) -> Explanation:
    bundle = Bundle(question.modules, question.data, question.digest)
    answer = EmbeddedEngine(bundle).answer(question.document)
    anatomy = Anatomy(bundle, question.document)
    tracer, search = Tracer(anatomy), Search(bundle, anatomy.input)
    spoken = [_spoken(anatomy, tracer, answer, reason) for reason in answer.reasons]
    hits = [search.hits(_reads(anatomy, rules), _gone(each.code)) for each, rules in spoken]
    return Explanation(
        bundle=bundle.digest,
        answer=answer,
        reasons=tuple(
            msgspec.structs.replace(each, flips=search.flips(found))
            for (each, _), found in zip(spoken, hits, strict=True)
        ),
        monitored=tuple(_watched(anatomy, tracer, answer)),
        allowing=tuple(_allowing(anatomy, tracer)) if answer.verdict is not Verdict.DENY else (),
        together=search.together(found[0] for found in hits) if len(hits) > 1 and all(hits) else None,
        cut_off=search.cut_off,
    )


def _gone(code: str) -> Callable[[Answer], bool]:
    """Whether an answer doesn't give a reason any more."""
    return lambda answer: all(reason.code != code for reason in answer.reasons)


def _reads(anatomy: Anatomy, rules: Iterable[Written]) -> frozenset[Path]:
    return frozenset(path for rule in rules for path in anatomy.reads(rule))


def _spoken(anatomy: Anatomy, tracer: Tracer, answer: Answer, reason: Reason) -> tuple[Spoken, list[Written]]:
    """A reason with the rule it comes from, and all rules a change of which could take it away."""
    effect = "hold" if answer.verdict is Verdict.HOLD else "deny"
    rules = [rule for rule in anatomy.rules() if rule.rule.name in JUDGING and _gives(rule, reason)]
    for rule in rules:
        lines = tracer.fired(rule)
        if lines is not None:
            return _described(rule, reason, rule.rule.name, lines), rules
    silent = [rule for rule in anatomy.rules() if rule.rule.name == "allow"] if reason.code == NO_RULE else []
    return Spoken(code=reason.code, message=reason.message, effect=effect), rules or silent


def _gives(written: Written, reason: Reason) -> bool:
    code, message = (text_of(field_of(written.rule.value, key)) for key in ("code", "message"))
    return (code, message) == (reason.code, reason.message)


def _described(written: Written, reason: Reason, effect: str, lines: tuple[Line, ...]) -> Spoken:
    metadata = read_metadata(written.source.module.text).get(written.rule.line) or Metadata(written.rule.line, {})
    say = metadata.get
    return Spoken(
        code=reason.code,
        message=reason.message,
        effect=effect,
        file=written.file,
        line=written.rule.line,
        title=say("title"),
        description=say("description"),
        threat=say("custom.threat"),
        severity=say("custom.severity"),
        remedy=say("custom.remedy"),
        lines=lines,
    )


def _watched(anatomy: Anatomy, tracer: Tracer, answer: Answer) -> Iterator[Spoken]:
    for reason in answer.monitored:
        spoken, _ = _spoken(anatomy, tracer, answer, reason)
        yield msgspec.structs.replace(spoken, effect="monitored")


def _allowing(anatomy: Anatomy, tracer: Tracer) -> Iterator[Spoken]:
    for written in anatomy.rules():
        if written.rule.name == "allow" and (name := text_of(written.rule.value)) is not None:
            lines = tracer.fired(written)
            if lines is not None:
                yield _described(written, Reason(name, ""), "allow", lines)


if __name__ == "__main__":
    answer_apart(_Question, _explain)
