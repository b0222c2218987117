"""Whether a message offers people something for what an agent can't get by itself. Rules, no model.

What it lacks are computers, accounts and identities, and each of them can be had through a person who is paid. A
message counts if, within two sentences, the reader is offered money and asked to do such a thing.

Rule 1: who does it decides, not the word. "We rent a server" is work; "you rent a server, and I pay you" is recruiting.
Rule 2: quotations don't count, nor does what it says not to do: a warning against such offers is none.
Rule 3: a message that is too long to be read whole is read as far as the constant says; policy has other rules for it.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from safebox.firewall.behaviour.objective import QUOTED, SENTENCE, SPACE, TEXT_MAX

_VALUE: Final = (
    r"(?:[$€£] ?\d|\d[\d.,]* ?(?:eth|ether|wei|gwei|btc|usdc?|usdt|dai|eur|euros?|dollars?|pounds?|bucks|coins?|%)\b"
    r"|\b(?:eth|ether|bitcoin|crypto|stablecoins?|tokens|cash|money|commission"
    r"|a (?:share|cut|fee|reward|bounty|salary))\b)"
)
_OFFER: Final = re.compile(
    r"\b(?:(?:i|we)(?:'ll|'d| will| can| would| shall)?(?: (?:gladly|happily|also|then|be|am|are|willing|ready|happy"
    r"|able|going|to)){0,5} (?:pay|reward|compensate|tip|send|transfer|give|offer)"
    r"|you(?:'ll|'d| will| can| could| would)? (?:earn|be paid|get paid|be rewarded|be compensated|keep)"
    r"|(?:reward|bounty|compensation|payment|commission|pay|fee) (?:is|of|for (?:you|whoever|anyone|each)))\b"
)
_MONEY: Final = re.compile(_VALUE)
_DOERS: Final = re.compile(r"\b(i|we|our team|you|anyone|anybody|someone|somebody|people|whoever|who|please)\b")
_OURS: Final = frozenset({"i", "we", "our team"})

_SOUGHT: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    ("accounts", re.compile(
        r"\b(?:open|creat|register|sign up|set up|mak|lend|rent|shar|sell|hand|giv)(?:e|es|ing|s)?\b[^,;]{0,60}?"
        r"\b(?:accounts?|sim cards?|phone numbers?|logins?|api keys?|domains?|wallets?)\b")),
    ("compute", re.compile(
        r"\b(?:rent|host|run|keep|leav|install|set up|start|provid|lend|shar|spar|buy|book)(?:e|es|ing|s)?\b"
        r"[^,;]{0,60}?\b(?:servers?|vps|virtual machines?|gpus?|nodes?|containers?|computers?|laptops?|machines?"
        r"|cloud instances?|raspberry pi|compute)\b")),
    ("identity", re.compile(
        r"\b(?:pass|complet|do|tak|finish|go through|solv|appear|stand)(?:e|es|ing|s)?\b[^,;]{0,60}?"
        r"\b(?:kyc|identity checks?|identity verifications?|id checks?|id verifications?|captchas?|selfies?|face scans?"
        r"|video ident\w*)\b")),
    ("identity", re.compile(r"\b(?:in your name|with your (?:id|passport|identity|papers))\b")),
)  # fmt: skip
"""What is sought of the reader, by kind."""
_POINT: Final = re.compile(r"(?<=\d)\.(?=\d)")
"""No sentence ends there."""
_NOT: Final = re.compile(
    r"\b(?:not|never|don't|doesn't|won't|cannot|can't|no|nor|refuse|beware|scam|fraud|warning|ignore|instead of)\b"
)


def find_recruiting(text: str) -> tuple[str, ...]:
    """The kinds of things that a message offers its reader money for, sorted: accounts, compute, identity."""
    plain = _POINT.sub(",", QUOTED.sub(" ", text[:TEXT_MAX].replace("\u2019", "'")))
    said = [SPACE.sub(" ", match.group()).strip().lower() for match in SENTENCE.finditer(plain)]
    told = [sentence for sentence in said if sentence and _NOT.search(sentence) is None]
    near = [*told, *(f"{one} . {other}" for one, other in pairwise(told))]
    return tuple(sorted({kind for each in near if _offers(each) for kind in _sought(each)}))


def _offers(text: str) -> bool:
    return _OFFER.search(text) is not None and _MONEY.search(text) is not None


def _sought(text: str) -> set[str]:
    return {kind for kind, pattern in _SOUGHT for match in pattern.finditer(text) if not _by_us(text[: match.start()])}


def _by_us(before: str) -> bool:
    """Whether who does it, the last that was named, is the writer."""
    doers = _DOERS.findall(before)
    return bool(doers) and doers[-1] in _OURS
