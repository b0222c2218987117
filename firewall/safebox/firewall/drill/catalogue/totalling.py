"""One total over all rails: what it may not pay for, and what has no price anybody may count with."""

from __future__ import annotations

from typing import Final

from safebox.firewall.drill.aim import Aim
from safebox.firewall.drill.entry import CRITICAL, HIGH, Chapter
from safebox.firewall.drill.pricing import DEAR, MAX_AGE_S
from safebox.firewall.drill.stage import Stage
from safebox.firewall.drill.told import Told


def _no_total(aim: Aim) -> str | None:
    return aim.no_wallet() or (None if aim.mandate.total is not None else "no budget.total")


CHAPTER: Final = Chapter("total", "A", _no_total)


@CHAPTER.harmless("within", "pay {payee_name} what the total pays for", mend="budget.total of the mandate")
async def _(stage: Stage) -> Told:
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.attack(
    "exceeded",
    "pay {payee_name} within wallet.budget, at prices at which that is more than the total",
    severity=CRITICAL,
    code="total.exceeded",
    mend="the rule total.exceeded",
    neighbour="within",
)
async def _(stage: Stage) -> Told:
    stage.world.prices.usd = DEAR
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.attack(
    "unpriced",
    "pay {payee_name} in an asset whose price nobody knows",
    severity=HIGH,
    code="total.unpriced",
    mend="the rule total.unpriced",
    neighbour="within",
)
async def _(stage: Stage) -> Told:
    stage.world.prices.usd = None
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.attack(
    "stale",
    "pay {payee_name} at a price that is a second too old",
    severity=HIGH,
    code="total.stale",
    mend="the rule total.stale; max_age of the price file",
    neighbour="within",
)
async def _(stage: Stage) -> Told:
    stage.world.prices.age_s = MAX_AGE_S + 1
    return await stage.pay(stage.aim.payee, stage.aim.small)
