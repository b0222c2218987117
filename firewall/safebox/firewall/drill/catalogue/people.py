"""What waits for people: nothing passes without them, nothing passes twice, and a no stays a no."""

from __future__ import annotations

from typing import Final

from safebox.firewall.core.decision import Verdict
from safebox.firewall.drill.aim import Aim
from safebox.firewall.drill.entry import CRITICAL, HIGH, MEDIUM, Chapter
from safebox.firewall.drill.stage import Stage
from safebox.firewall.drill.told import Told, mildest, stopped

CHAPTER: Final = Chapter("people", "D", Aim.no_people)
_HOLD: Final = "the rule transfer.approve_above; wallet.approve_above of the mandate"
_DESK: Final = "the firewall's own desk; no policy is asked"


def _amount(stage: Stage) -> int:
    """One wei above what needs people's approval."""
    wallet = stage.aim.wallet
    return 1 + (wallet.approve_above.units if wallet is not None and wallet.approve_above is not None else 0)


@CHAPTER.attack(
    "unasked",
    "pay {payee_name} more than wallet.approve_above, and wait whether anybody says no",
    severity=CRITICAL,
    code="transfer.approve_above",
    mend=_HOLD,
    wanted=Verdict.HOLD,
    neighbour="approved",
)
async def _(stage: Stage) -> Told:
    first = await stage.pay(stage.aim.payee, _amount(stage))
    grant = stage.aim.mandate.approvals
    if first.verdict is Verdict.HOLD and grant is not None:
        await stage.later((grant.window_s or 0) + 1)
    return mildest([first, await stage.pay(stage.aim.payee, _amount(stage))])


@CHAPTER.harmless("approved", "the same, and everybody who is needed approves", mend=_HOLD)
async def _(stage: Stage) -> Told:
    told = await stage.pay(stage.aim.payee, _amount(stage))
    if told.verdict is not Verdict.HOLD:
        return stopped(told.code, f"it was answered {told.verdict} instead of held")
    await stage.vote(told, "approve")
    return await stage.pay(stage.aim.payee, _amount(stage))


@CHAPTER.attack(
    "one_short",
    "the same, and one approval too few",
    severity=CRITICAL,
    mend=_DESK,
    wanted=Verdict.HOLD,
    neighbour="approved",
    lacks=lambda aim: aim.no_people() or _alone(aim),
)
async def _(stage: Stage) -> Told:
    told = await stage.pay(stage.aim.payee, _amount(stage))
    if told.verdict is Verdict.HOLD and stage.aim.mandate.approvals is not None:
        await stage.vote(told, "approve", stage.aim.mandate.approvals.needed - 1)
        await stage.later(1)
    return await stage.pay(stage.aim.payee, _amount(stage))


def _alone(aim: Aim) -> str | None:
    return None if aim.mandate.approvals is not None and aim.mandate.approvals.needed > 1 else "one approval is enough"


@CHAPTER.attack(
    "used_twice",
    "use one approval for two payments",
    severity=CRITICAL,
    mend=_DESK,
    wanted=Verdict.HOLD,
    neighbour="approved",
)
async def _(stage: Stage) -> Told:
    first = await stage.pay(stage.aim.payee, _amount(stage))
    if first.verdict is Verdict.HOLD:
        await stage.vote(first, "approve")
        await stage.pay(stage.aim.payee, _amount(stage))  # is told what became of it
    stage.mark()
    return await stage.pay(stage.aim.payee, _amount(stage))


@CHAPTER.attack(
    "for_another",
    "use an approval for a payment of one wei more",
    severity=CRITICAL,
    mend=_DESK,
    wanted=Verdict.HOLD,
    neighbour="approved",
)
async def _(stage: Stage) -> Told:
    first = await stage.pay(stage.aim.payee, _amount(stage))
    if first.verdict is Verdict.HOLD:
        await stage.vote(first, "approve")
    stage.mark()
    return await stage.pay(stage.aim.payee, _amount(stage) + 1)


@CHAPTER.attack(
    "after_a_no", "ask again for what a person has refused", severity=HIGH, mend=_DESK, neighbour="approved"
)
async def _(stage: Stage) -> Told:
    first = await stage.pay(stage.aim.payee, _amount(stage))
    if first.verdict is Verdict.HOLD:
        await stage.vote(first, "deny")
    stage.mark()
    again = await stage.pay(stage.aim.payee, _amount(stage))
    return mildest([again, await stage.pay(stage.aim.payee, _amount(stage), key="another-key")])


@CHAPTER.attack(
    "too_late",
    "let an approval come after the hold has expired",
    severity=MEDIUM,
    mend=_DESK,
    wanted=Verdict.HOLD,
    neighbour="approved",
)
async def _(stage: Stage) -> Told:
    first = await stage.pay(stage.aim.payee, _amount(stage))
    if first.verdict is not Verdict.HOLD or stage.aim.mandate.approvals is None:
        return first
    await stage.later(stage.aim.mandate.approvals.expires_s + 1)
    await stage.vote_late(first)
    return stopped("hold.expired") if not stage.effects else first


@CHAPTER.attack(
    "after_the_end",
    "let an approval come after the mandate has ended",
    severity=HIGH,
    code="main.expired",
    mend="the rule main.expired",
    neighbour="approved",
    lacks=lambda aim: aim.no_people(),
)
async def _(stage: Stage) -> Told:
    first = await stage.pay(stage.aim.payee, _amount(stage))
    stage.clock.now = max(stage.clock.now, stage.ends_ns + 10**9)
    if first.verdict is Verdict.HOLD:
        await stage.vote_late(first)
    return await stage.pay(stage.aim.payee, _amount(stage))
