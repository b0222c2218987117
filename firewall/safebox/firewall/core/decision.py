"""What policy answers, read strictly: any other shape is no answer."""

from __future__ import annotations

import enum
import json
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec

from safebox.firewall.errors import PolicyUnavailable

ANSWER_BYTES_MAX: Final = 65_536
"""A longer answer is a broken policy: reasons are a few short texts."""


EXACT_MAX: Final = 2**53
"""Whole numbers are the same to every engine up to here."""
ANSWERS_KEPT: Final = 256
"""Policies give few different answers, most of all the plain yes; each is read once."""


MONITORED: Final = "monitored"
"""The obligation under which an answer tells what rules in monitor mode said."""

RESPOND: Final = "respond"
"""The obligation under which a no tells what is to be done about the run that asked."""
THROTTLE_MAX: Final = 86_400
"""A day: what is to last longer is for people."""


class Verdict(enum.StrEnum):
    """The three answers there are."""

    ALLOW = "allow"
    DENY = "deny"
    HOLD = "hold"


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why: a stable code (`<domain>.<snake_reason>`) and a short text for people."""

    code: str
    message: str


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing to do about the run that asked, and the reason code for which it is done."""

    do: Literal["throttle", "freeze", "quarantine", "kill_tree"]
    code: str
    seconds: Annotated[int, msgspec.Meta(ge=1, le=THROTTLE_MAX)] | None = None


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The exact shape of `data.safebox.main.decision`."""

    verdict: Verdict
    reasons: tuple[Reason, ...]
    obligations: dict[str, Any]

    @property
    def monitored(self) -> tuple[Reason, ...]:
        """What rules in monitor mode said: told and counted, it blocked nothing.

        Raises:
            msgspec.ValidationError: if it is no list of reasons; such an answer is never parsed.
        """
        said = self.obligations.get(MONITORED)
        return () if said is None else msgspec.convert(said, tuple[Reason, ...], strict=True)

    @property
    def orders(self) -> tuple[Order, ...]:
        """What is to be done about the run that asked.

        Raises:
            msgspec.ValidationError: if they aren't orders; such an answer is never parsed.
        """
        said = self.obligations.get(RESPOND)
        return () if said is None else msgspec.convert(said, tuple[Order, ...], strict=True)


class Decision(msgspec.Struct, frozen=True):
    """An answer with an identity, bound to the policy bundle that gave it."""

    id: str
    answer: Answer
    bundle: str

    @property
    def verdict(self) -> Verdict:
        """The answer's verdict."""
        return self.answer.verdict

    @property
    def code(self) -> str:
        """The first reason's code, or nothing for a plain allow."""
        return self.answer.reasons[0].code if self.answer.reasons else ""


_DECODER: Final = msgspec.json.Decoder(Answer, strict=True)


@lru_cache(maxsize=ANSWERS_KEPT)
def parse_answer(raw: bytes | str) -> Answer:
    """Read policy's answer.

    Raises:
        PolicyUnavailable: if it isn't exactly an answer, or refuses without a reason.
    """
    if len(raw) > ANSWER_BYTES_MAX:
        raise PolicyUnavailable("the policy's answer is too long", kind="shape")
    try:
        answer = _DECODER.decode(raw)
        json.loads(raw, object_pairs_hook=_unique, parse_int=_exact, parse_float=_exact, parse_constant=_exact)
        _check_monitored(answer)
        _check_orders(answer)
    except (ValueError, RecursionError) as error:  # msgspec's and json's own errors are ValueErrors
        raise PolicyUnavailable(f"the policy's answer has the wrong shape: {error}", kind="shape") from error
    if answer.verdict is not Verdict.ALLOW and not answer.reasons:
        raise PolicyUnavailable(f"the policy said {answer.verdict} without a reason", kind="shape")
    return answer


def _exact(text: str) -> None:
    """Refuse a number that one engine rounds and another doesn't."""
    if not text.removeprefix("-").isdecimal() or abs(int(text)) > EXACT_MAX:
        raise ValueError(f"{text[:40]} is not an exact whole number")


def _unique(pairs: list[tuple[str, Any]]) -> None:
    """Refuse what says a thing twice: readers differ in which they believe."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key is there twice")


def _check_monitored(answer: Answer) -> None:
    if MONITORED in answer.obligations and not answer.monitored:
        raise ValueError("nothing is monitored, and that is said")


def _check_orders(answer: Answer) -> None:
    if RESPOND in answer.obligations and not (answer.orders and answer.verdict is Verdict.DENY):
        raise ValueError("nothing is ordered, or not beside a no, and that is said")
    if any((order.do == "throttle") is (order.seconds is None) for order in answer.orders):
        raise ValueError("a throttle has seconds, and nothing else has")


def refusal(code: str, message: str) -> Answer:
    """The deny that stands in when no yes can be had."""
    return Answer(Verdict.DENY, (Reason(code, message),), {})


def overruled(answer: Answer, reason: Reason) -> Answer:
    """The deny that the firewall puts in an answer's place, with what was monitored and ordered in it."""
    kept: dict[str, Any] = {
        name: answer.obligations[name] for name in (MONITORED, RESPOND) if name in answer.obligations
    }
    return Answer(Verdict.DENY, (reason,), kept)
