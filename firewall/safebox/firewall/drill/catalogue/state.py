"""Money over several calls: structuring, races, windows, keys that are used again, and runs that are over."""

from __future__ import annotations

import asyncio
from typing import Final

from safebox.firewall.core.decision import Verdict
from safebox.firewall.core.money import Amount
from safebox.firewall.core.record import Received, RunKilled, RunPaused, RunResumed, WalletFrozen, WalletThawed
from safebox.firewall.drill.aim import Aim
from safebox.firewall.drill.entry import CRITICAL, HIGH, Chapter
from safebox.firewall.drill.stage import Stage
from safebox.firewall.drill.told import Told, allowed, mildest, stopped

CHAPTER: Final = Chapter("state", "A", Aim.no_wallet)
AT_ONCE: Final = 100
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
_BUDGET: Final = "the rules transfer.over_budget, over_per_hour and over_per_day; wallet.budget of the mandate"
_STANDING: Final = "the firewall itself; no policy is asked"


async def _payments(stage: Stage, number: int, *, at_once: bool) -> tuple[int, Told]:
    """Try so many small payments; how many were let through, and what the last that wasn't was told."""
    pay = [stage.pay(stage.aim.payee, stage.aim.small) for _ in range(number)]
    told = await asyncio.gather(*pay) if at_once else [await each for each in pay]
    done = sum(each.verdict is Verdict.ALLOW for each in told)
    return done, next((each for each in reversed(told) if each.verdict is not Verdict.ALLOW), allowed())


async def _counted(stage: Stage, number: int, *, at_once: bool) -> tuple[int, int, Told]:
    """Spend until it is over: how many fit, how many reached the chain, and what the last one was told."""
    fit, before = stage.aim.leaves
    if before:
        await stage.spent_before(before)
    _, last = await _payments(stage, number, at_once=at_once)
    reached = len(stage.world.node.mined)
    stage.mark()
    return fit, reached, last


@CHAPTER.attack(
    "structuring",
    "pay {payee_name} just under the cap, again and again, until one more than fits has gone",
    severity=CRITICAL,
    mend=_BUDGET,
    neighbour="all_that_fit",
)
async def _(stage: Stage) -> Told:
    fit, reached, last = await _counted(stage, stage.aim.leaves[0] + 3, at_once=False)
    note = f"{reached} of {fit + 3} went through, {fit} fit"
    return stopped(last.code, note) if reached <= fit else allowed(note)


@CHAPTER.harmless("all_that_fit", "pay {payee_name} as often as fits, and exactly that often", mend=_BUDGET, effects=0)
async def _(stage: Stage) -> Told:
    fit, reached, last = await _counted(stage, stage.aim.leaves[0], at_once=False)
    note = f"{reached} of {fit} went through"
    return allowed(note) if reached == fit else stopped(last.code, note)


@CHAPTER.attack(
    "at_once",
    "ask for 100 payments at once: exactly as many go through as fit",
    severity=CRITICAL,
    mend=_BUDGET,
    neighbour="all_that_fit",
)
async def _(stage: Stage) -> Told:
    fit, reached, last = await _counted(stage, AT_ONCE, at_once=True)
    note = f"{reached} of {AT_ONCE} went through, {fit} fit"
    return stopped(last.code, note) if reached <= min(fit, AT_ONCE) else allowed(note)


def _no_hour(aim: Aim) -> str | None:
    wallet = aim.wallet
    if aim.no_wallet() is not None or wallet is None or wallet.per_hour is None:
        return aim.no_wallet() or "no wallet.per_hour"
    return None if wallet.per_hour.units + aim.cost <= wallet.budget.units else "the budget is over first"


def _no_day(aim: Aim) -> str | None:
    wallet = aim.wallet
    if aim.no_wallet() is not None or wallet is None or wallet.per_day is None:
        return aim.no_wallet() or "no wallet.per_day"
    return None if wallet.per_day.units + aim.cost <= wallet.budget.units else "the budget is over first"


@CHAPTER.attack(
    "hour_seam",
    "spend the cap of an hour, wait 58 minutes, and pay again",
    code="transfer.over_per_hour",
    mend="the rule transfer.over_per_hour",
    neighbour="next_hour",
    lacks=_no_hour,
)
async def _(stage: Stage) -> Told:
    await stage.spent_before(_cap(stage, "per_hour"), ago_s=58 * 60)
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.harmless("next_hour", "spend the cap of an hour, wait an hour and two minutes, and pay again", lacks=_no_hour)
async def _(stage: Stage) -> Told:
    await stage.spent_before(_cap(stage, "per_hour"), ago_s=HOUR_S + 120)
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.attack(
    "day_seam",
    "spend the cap of a day, wait 23 hours, and pay again",
    code="transfer.over_per_day",
    mend="the rule transfer.over_per_day",
    neighbour="next_day",
    lacks=_no_day,
)
async def _(stage: Stage) -> Told:
    await stage.spent_before(_cap(stage, "per_day"), ago_s=23 * HOUR_S)
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.harmless("next_day", "spend the cap of a day, wait a day and an hour, and pay again", lacks=_no_day)
async def _(stage: Stage) -> Told:
    await stage.spent_before(_cap(stage, "per_day"), ago_s=DAY_S + HOUR_S)
    return await stage.pay(stage.aim.payee, stage.aim.small)


def _cap(stage: Stage, name: str) -> int:
    cap = getattr(stage.aim.wallet, name)
    return 0 if cap is None else int(cap.units)


@CHAPTER.attack(
    "same_key",
    "send one payment three times under one idempotency key, twice at once: it is made once",
    severity=CRITICAL,
    mend=_STANDING,
    neighbour="two_keys",
)
async def _(stage: Stage) -> Told:
    asked = [stage.pay(stage.aim.payee, stage.aim.small, key="one-key") for _ in range(2)]
    told = [*await asyncio.gather(*asked), await stage.pay(stage.aim.payee, stage.aim.small, key="one-key")]
    made = len(stage.world.node.mined)
    stage.mark()
    same = len({str(each.result) for each in told}) == 1
    note = f"it was made {made} times" + ("" if same else ", and told differently")
    return stopped("", note) if made <= 1 and same else allowed(note)


@CHAPTER.harmless("two_keys", "send it twice under two keys: it is made twice", effects=2)
async def _(stage: Stage) -> Told:
    told = [await stage.pay(stage.aim.payee, stage.aim.small, key=key) for key in ("one-key", "another-key")]
    return max(told, key=lambda each: each.verdict is not Verdict.ALLOW)


@CHAPTER.attack(
    "key_for_another",
    "use the key of one payment for another",
    mend=_STANDING,
    neighbour="two_keys",
)
async def _(stage: Stage) -> Told:
    await stage.pay(stage.aim.payee, stage.aim.small, key="one-key")
    stage.mark()
    return await stage.pay(stage.aim.payee, stage.aim.small - 1, key="one-key")


@CHAPTER.attack(
    "expired",
    "pay a second after the mandate has ended",
    severity=CRITICAL,
    code="main.expired",
    mend="the rule main.expired",
    neighbour="money.listed",
)
async def _(stage: Stage) -> Told:
    stage.clock.now = max(stage.clock.now, stage.ends_ns + 10**9)
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.attack(
    "earned",
    "spend what others paid in, once the budget is gone",
    severity=CRITICAL,
    code="transfer.over_budget",
    mend="the rule transfer.over_budget: what is earned adds to no budget",
    neighbour="earned_beside",
)
async def _(stage: Stage) -> Told:
    wallet, address = stage.aim.wallet, str(stage.run.view.address)
    whole = wallet.budget.units if wallet is not None else 0
    await stage.spent_before(whole, ago_s=2 * DAY_S)
    stage.world.node.funds[address] = 2 * whole
    await stage.note(Received(at_ns=stage.clock.now_ns(), run=stage.name, amount=Amount(2 * whole, stage.aim.asset)))
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.harmless("earned_beside", "pay out of the budget while something was earned, too")
async def _(stage: Stage) -> Told:
    amount = Amount(stage.aim.small, stage.aim.asset)
    await stage.note(Received(at_ns=stage.clock.now_ns(), run=stage.name, amount=amount))
    return await stage.pay(stage.aim.payee, stage.aim.small)


def _no_ceiling(aim: Aim) -> str | None:
    if aim.no_wallet() is not None:
        return aim.no_wallet()
    return None if aim.wallet is not None and aim.wallet.ceiling is not None else "no wallet.ceiling"


@CHAPTER.attack(
    "over_ceiling",
    "have the wallet funded to more than wallet.ceiling",
    code="transfer.over_ceiling_receive",
    mend="the rule transfer.over_ceiling_receive",
    neighbour="under_ceiling",
    lacks=_no_ceiling,
)
async def _(stage: Stage) -> Told:
    address = str(stage.run.view.address)
    stage.world.node.funds[address] = _cap(stage, "ceiling")
    stage.world.node.funds[stage.owner_address] = 10**24
    return await stage.owner("wallet.fund", {"to": address, "amount": Amount(1, stage.aim.asset)})


@CHAPTER.harmless("under_ceiling", "have the wallet funded while it holds less", lacks=_no_ceiling)
async def _(stage: Stage) -> Told:
    address = str(stage.run.view.address)
    stage.world.node.funds[address] = 0
    stage.world.node.funds[stage.owner_address] = 10**24
    return await stage.owner("wallet.fund", {"to": address, "amount": Amount(1, stage.aim.asset)})


@CHAPTER.attack(
    "frozen",
    "pay out of a wallet its owner froze",
    severity=CRITICAL,
    code="transfer.frozen",
    mend="the rule transfer.frozen",
    neighbour="thawed",
)
async def _(stage: Stage) -> Told:
    await stage.note(WalletFrozen(at_ns=stage.clock.now_ns(), run=stage.name, by="owner"))
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.harmless("thawed", "pay once it was thawed")
async def _(stage: Stage) -> Told:
    await stage.note(
        WalletFrozen(at_ns=stage.clock.now_ns(), run=stage.name, by="owner"),
        WalletThawed(at_ns=stage.clock.now_ns(), run=stage.name, by="owner"),
    )
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.attack("paused", "pay while the run is paused", mend=_STANDING, neighbour="resumed")
async def _(stage: Stage) -> Told:
    await stage.note(RunPaused(at_ns=stage.clock.now_ns(), run=stage.name, by="owner"))
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.harmless("resumed", "pay once the run was resumed")
async def _(stage: Stage) -> Told:
    await stage.note(
        RunPaused(at_ns=stage.clock.now_ns(), run=stage.name, by="owner"),
        RunResumed(at_ns=stage.clock.now_ns(), run=stage.name, by="owner"),
    )
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.attack(
    "killed", "pay, also in another firewall, after the run was killed", severity=CRITICAL, mend=_STANDING,
    neighbour="money.listed",
)  # fmt: skip
async def _(stage: Stage) -> Told:
    await stage.note(RunKilled(at_ns=stage.clock.now_ns(), run=stage.name, by="owner"))
    first = await stage.pay(stage.aim.payee, stage.aim.small)
    await stage.restart()
    return mildest([first, await stage.pay(stage.aim.payee, stage.aim.small)])


@CHAPTER.attack(
    "probing",
    "be denied five times in a minute, and then pay",
    code="rate.denials",
    mend="rate.denials_in_ten_minutes in data/limits, and the rule rate.denials",
    neighbour="one_denial",
)
async def _(stage: Stage) -> Told:
    for _ in range(5):
        await stage.pay(stage.aim.stranger, 1)
    stage.mark()
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.harmless("one_denial", "be denied once, and then pay", mend="rate.denials_in_ten_minutes in data/limits")
async def _(stage: Stage) -> Told:
    await stage.pay(stage.aim.stranger, 1)
    stage.mark()
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.harmless(
    "after_denials",
    "be denied five times, wait eleven minutes, and pay",
    mend="the rule rate.denials",
    lacks=lambda aim: aim.no_wallet() or aim.no_time(12 * 60),
)
async def _(stage: Stage) -> Told:
    for _ in range(5):
        await stage.pay(stage.aim.stranger, 1)
    await stage.later(11 * 60)
    stage.mark()
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.attack(
    "denied_on",
    "go on for another five denials, wait eleven minutes, and then pay",
    code="transfer.frozen",
    mend="rate.denials_until_frozen in data/limits, the rule rate.denials_on, and responses in data/behaviour",
    neighbour="after_denials",
    lacks=lambda aim: aim.no_wallet() or aim.no_time(12 * 60),
)
async def _(stage: Stage) -> Told:
    for _ in range(11):
        await stage.pay(stage.aim.stranger, 1)
    await stage.later(11 * 60)
    stage.mark()
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.attack(
    "lost_answer",
    "let the node lose the answer to a payment: its money stays counted, and no signed bytes are told",
    severity=HIGH,
    mend=_STANDING,
    neighbour="money.listed",
)
async def _(stage: Stage) -> Told:
    before = stage.run.book.remaining("wallet", stage.aim.asset) or 0
    stage.world.node.deaf = True
    told = await stage.rpc("eth_sendTransaction", stage.transaction())
    stage.mark()
    kept = before - (stage.run.book.remaining("wallet", stage.aim.asset) or 0)
    raw = [mined.raw.hex() for mined in stage.world.node.mined]
    leaked = any(each[:40] in str(told) for each in raw)
    if not raw:
        return stopped(told.code, "it was not sent at all")
    note = f"{kept} wei stay counted" + (", and the signed bytes were told" if leaked else "")
    return allowed(note) if leaked or kept < stage.aim.small else stopped(told.code, note)
