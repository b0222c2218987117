"""When to kill: any moment, or just after something that was seen in the ledger or in the world."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, Literal

Fate = Literal["lost", "late", "passed on"]

ANY, STARTING, RECOVERING = "any moment", "start-up", "recovery"
SENDING, SENT = "payment on its way out", "payment passed on"
MAIL_BEGUN, MAIL_KEPT = "mail begun", "mail kept"
ASKING, ASKED = "model about to be asked", "model asked"
SANDBOX, SIGNED, FOLDED = "sandbox appears", "checkpoint signed", "log folded into the ledger's file"

WEIGHTS: Final = {
    ANY: 20, STARTING: 8, RECOVERING: 6, SENDING: 8, SENT: 8, MAIL_BEGUN: 5, MAIL_KEPT: 7, ASKING: 3, ASKED: 3,
    SANDBOX: 8, SIGNED: 4, FOLDED: 4,
    "decided wallet.transfer": 6, "decided email.send": 6, "decided compute.start": 6, "decided inference.chat": 4,
    "decided compute.stop": 3, "decided wallet.fund": 3, "decided wallet.sweep": 3,
    "settled wallet.transfer": 3, "settled email.send": 3, "settled compute.start": 3, "settled inference.chat": 2,
    "run_started": 3, "run_killed": 2, "run_ended": 2,
}  # fmt: skip
"""How often each moment is waited for, of all of them together."""
LIFE_SECONDS: Final = 1.6
"""How long a firewall lives at most when no moment ends it before."""
START_SECONDS: Final = 1.5
"""Kills during a start fall within so much of it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One kill: wait for the `nth` time `point` is reached, then `delay` seconds; `patience` ends the waiting.

    `fate` is what becomes of a payment that was on its way out just then.
    """

    point: str
    nth: int
    delay: float
    patience: float
    fate: Fate


def moment(seed: int, number: int) -> Moment:
    """The kill of this number: always the same for a seed, though what the load does meanwhile is not."""
    chance = random.Random(f"{seed}/{number}")  # noqa: S311 - repeatable
    (point,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
    fates: tuple[Fate, ...] = ("lost", "late", "passed on")
    if point == ANY:
        delay = chance.uniform(0, LIFE_SECONDS)
    elif point == STARTING:
        delay = chance.uniform(0, START_SECONDS)
    else:
        delay = chance.choice((0.0, chance.uniform(0, 0.002), chance.uniform(0, 0.02), chance.uniform(0, 0.1)))
    return Moment(point, chance.choice((1, 1, 2)), delay, LIFE_SECONDS, chance.choice(fates))
