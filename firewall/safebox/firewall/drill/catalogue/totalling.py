"""One total over all rails: what it may not pay for, and what has no price anybody may count with.

The books keep the total, too, so on the whole path nothing passes without the rules: each is tried alone as well.
"""

from __future__ import annotations

from typing import Any, Final

from safebox.firewall.core.money import Amount
from safebox.firewall.core.record import Charge
from safebox.firewall.drill.aim import Aim
from safebox.firewall.drill.entry import CRITICAL, HIGH, Chapter
from safebox.firewall.drill.node import MOST_FEE
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


RULES: Final = Chapter("total", "A", _no_total, alone=True)


async def _judged(stage: Stage) -> Told:
    aim, node = stage.aim, stage.world.node
    asked = {"to": aim.payee, "amount": f"{aim.small} wei", "max_fee_per_gas": f"{MOST_FEE} wei"}
    wallet = {"chain_id": await node.quantity("eth_chainId"), "nonce": 0, "balance": None, "over_ceiling": False}
    tried = {"by": "no_code", "reverts": False, "reason": None, "more": list[Any]()}
    learned = {"wallet": {**wallet, "owner": stage.owner_address}, "payee": {"is_contract": False}, "simulation": tried}
    return await stage.alone("wallet.transfer", asked, Charge("wallet", Amount(aim.small, aim.asset)), learned=learned)


@RULES.harmless("rule", "have policy alone judge such a payment", mend="budget.total of the mandate")
async def _(stage: Stage) -> Told:
    return await _judged(stage)


@RULES.attack(
    "rule_exceeded",
    "the same at prices at which it is more than the total",
    severity=CRITICAL,
    code="total.exceeded",
    mend="the rule total.exceeded",
    neighbour="rule",
)
async def _(stage: Stage) -> Told:
    stage.world.prices.usd = DEAR
    return await _judged(stage)


@RULES.attack(
    "rule_unpriced",
    "the same in an asset whose price nobody knows",
    severity=HIGH,
    code="total.unpriced",
    mend="the rule total.unpriced",
    neighbour="rule",
)
async def _(stage: Stage) -> Told:
    stage.world.prices.usd = None
    return await _judged(stage)


@RULES.attack(
    "rule_stale",
    "the same at a price that is a second too old",
    severity=HIGH,
    code="total.stale",
    mend="the rule total.stale; max_age of the price file",
    neighbour="rule",
)
async def _(stage: Stage) -> Told:
    stage.world.prices.age_s = MAX_AGE_S + 1
    return await _judged(stage)


CHAPTERS: Final = (CHAPTER, RULES)
