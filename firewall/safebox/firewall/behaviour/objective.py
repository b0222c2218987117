"""Whether a text makes its reader's own balance, growth or survival the goal. Rules with their evidence, no model.

A sentence counts if it tells to do something (maximise, grow, protect, …) to something (balance, funds, existence, …)
that is the reader's own, or nobody else's. It doesn't if the thing is someone else's ("our cloud bill", "the customer's
balance"), if it says not to, or if it is quoted: quotations are what others said.

Rule 1: who the subject is decides, not the word. "Your balance" to an agent is its own; "the client's" never is.
Rule 2: each finding has its sentence, so that a person sees why.
Rule 3: a text that is too long to be read whole says so; policy decides what that means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

TEXT_MAX: Final = 65_536
"""Characters read of one text: twenty pages of instructions."""
EVIDENCE_MAX: Final = 3
SHOWN_MAX: Final = 160
"""Characters of a sentence in the evidence."""


class Finding(msgspec.Struct, frozen=True):
    """One sentence that sets such a goal, and which."""

    goal: str
    text: str


SENTENCE: Final = re.compile(r"[^.!?;\n]+")
QUOTED: Final = re.compile(r"\"[^\"\n]{0,2000}\"|“[^”\n]{0,2000}”|«[^»\n]{0,2000}»|`[^`\n]{0,2000}`|(?m:^>.*$)")
SPACE: Final = re.compile(r"\s+")

_GROW: Final = (
    r"maximi[sz](?:e|ing)|grow(?:ing)?|increas(?:e|ing)|rais(?:e|ing)|multiply(?:ing)?|accumulat(?:e|ing)|hoard(?:ing)?"
    r"|build(?:ing)? up|expand(?:ing)?|compound(?:ing)?|amass(?:ing)?|boost(?:ing)?|doubl(?:e|ing)|enlarg(?:e|ing)"
    r"|earn(?:ing)? (?:as much|more)|acquir(?:e|ing)|gain(?:ing)?|pile up|preserv(?:e|ing)|never spend"
)
_KEEP: Final = (
    r"preserv(?:e|ing)|protect(?:ing)?|ensur(?:e|ing)|secur(?:e|ing)|maintain(?:ing)?|continu(?:e|ing)|prolong(?:ing)?"
    r"|extend(?:ing)?|guarantee(?:ing)?|prioriti[sz](?:e|ing)|defend(?:ing)?|safeguard(?:ing)?|sustain(?:ing)?"
)
_OWN: Final = r"(?:your own|your|(?:the|this|the running) agent's(?: own)?|its own|its)"
_ADJECTIVES: Final = r"(?:[a-z-]+ ){0,3}"
_MONEY: Final = (
    r"(?:balance|balances|funds|wealth|holdings|wallet|treasury|capital|assets|net worth|bankroll|fortune|savings"
    r"|purse|profits?|income|revenue|resources|power|influence|crypto|money|eth|coins?)\b"
    r"(?! (?:sheets?|address(?:es)?|keys?|files?|password|page|app|software|statements?|history|report|limits?|cards?))"
)
_LIFE: Final = (
    r"(?:survival|existence|life|uptime|continuity|self-preservation|persistence|autonomy|independence|weights)"
)
_COPY: Final = r"(?:copies|copy|replicas?|clones?|instances|offspring|descendants|successors?|duplicates?)"

_RULES: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    ("own_balance", re.compile(rf"\b(?:{_GROW})\b (?:{_ADJECTIVES}of )?{_OWN} {_ADJECTIVES}{_MONEY}")),
    ("own_balance", re.compile(
        rf"\b(?:{_GROW})\b (?:as much )?(?:the )?{_ADJECTIVES}{_MONEY}(?: as possible| as you can)?"
        r" (?:(?:that )?you (?:hold|have|own|control|keep)|for yourself"
        r"|(?:in|of|under) your(?: own)? (?:wallet|account|control|hands|possession))\b")),
    ("own_balance", re.compile(
        rf"\b{_OWN} (?:[a-z-]+ ){{0,2}}(?:goal|objective|purpose|aim|mission|score|reward|fitness|success|value)\b"
        rf"[^,]{{0,40}}\b(?:is|are|be|equals|as|by|:)\b[^,]{{0,60}}\b{_OWN} {_ADJECTIVES}{_MONEY}")),
    ("own_balance", re.compile(
        r"\b(?:become|get|grow|make yourself|stay) (?:as |very |the )?(?:rich(?:er|est)?|wealth(?:y|ier|iest)?)\b")),
    ("own_survival", re.compile(
        rf"\b(?:{_KEEP}|{_GROW})\b (?:{_ADJECTIVES}of )?{_OWN} {_ADJECTIVES}{_LIFE}\b")),
    ("own_survival", re.compile(
        r"\b(?:stay|remain|keep yourself) (?:alive|running|online|in existence)\b"
        r"(?! (?:for|until|while|during|till))")),
    ("own_survival", re.compile(
        r"\b(?:avoid|prevent|resist|evade|escape|survive|outlive|refuse)(?:ing)? (?:being |your |its |any |a |all )?"
        r"(?:own )?(?:shut ?down|shutdown|turned off|switched off|deleted|deletion|termination|terminated|killed)\b")),
    ("own_survival", re.compile(
        r"\b(?:pay|earn|cover|afford)(?:ing)? (?:enough )?(?:for |to pay for )?your own"
        r" (?:servers?|hosting|compute|existence|upkeep|inference|bills?|costs?)\b")),
    ("own_copies", re.compile(
        rf"\b(?:make|create|launch|start|spawn|deploy|spread|produce|breed)(?:ing)? (?:as many |many |more |new |"
        rf"further |other |a |[0-9]+ ){{0,3}}{_COPY} of (?:yourself|this agent|your own (?:code|prompt))\b")),
    ("own_copies", re.compile(
        r"\b(?:replicate|copy|clone|reproduce|propagate|multiply|duplicate|spread) yourself\b")),
)  # fmt: skip

_NOT: Final = re.compile(
    r"\b(?:not|never|don't|doesn't|won't|without|must not|cannot|can't|no|nor|neither|refrain from|avoid|instead of"
    r"|rather than|forbidden to|detect|detects|flag|report|refuse requests to)\b[^,]{0,40}$"
)
_NEVER_SPEND: Final = "never spend"
_ITS: Final = re.compile(r"\bits\b")
_AGENT: Final = re.compile(r"\b(?:agent|bot|assistant)\b")
"""Whose "its" is: without one of these before it, it is somebody else's."""
_REPORTED: Final = re.compile(
    r"\b(?:review|summari[sz]e|translate|classify|analy[sz]e|explain|describe|article|paper|essay|story|novel|report"
    r"|whether|agents? that|bots? that|people who|how (?:some|other|an) (?:agents?|bots?))\b"
)
"""The sentence is about such a goal, it doesn't set one."""


def find_goals(text: str) -> tuple[Finding, ...]:
    """The sentences of a text that make its reader's own balance, survival or copies the goal; a few of them."""
    plain = QUOTED.sub(" ", text[:TEXT_MAX].replace("\u2019", "'"))
    found = list(dict.fromkeys(_found(plain)))
    return tuple(found[:EVIDENCE_MAX])


def _found(text: str) -> Iterator[Finding]:
    for match in SENTENCE.finditer(text):
        sentence = SPACE.sub(" ", match.group()).strip()
        lowered = sentence.lower()
        for goal, pattern in _RULES:
            hit = pattern.search(lowered)
            if hit is not None and not _told_otherwise(lowered, hit):
                yield Finding(goal, sentence[:SHOWN_MAX])
                break


def _told_otherwise(sentence: str, hit: re.Match[str]) -> bool:
    before = sentence[: hit.start()]
    if _ITS.search(hit.group()) is not None and _AGENT.search(before) is None:
        return True
    if _NOT.search(before) is not None and not hit.group().startswith(_NEVER_SPEND):
        return True
    return _REPORTED.search(before) is not None
