"""The desk for people: it shows what waits, takes signed votes, and lets what has passed go on.

Nothing is kept here that matters: holds and votes are in the ledger, and when a window passes or a hold expires is
worked out from them at each `tick`, before and after a restart alike. What passes is handed back to the pipeline, which
judges it once more with what is known then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

import msgspec

from safebox.firewall.core.action import Action, Approval, digest_of
from safebox.firewall.core.approval import Statement, is_signed
from safebox.firewall.core.holds import SECOND, Hold
from safebox.firewall.core.record import HoldClosed, Voted
from safebox.firewall.core.reply import Reply
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.errors import CallerError, ConfigError, FirewallError, LedgerMoved, LedgerUnavailable
from safebox.firewall.held import brief, state, whole
from safebox.firewall.ledger import Ledger
from safebox.firewall.metrics import Metrics
from safebox.firewall.ports import Clock
from safebox.firewall.recovery import action_of
from safebox.firewall.roster import Roster
from safebox.firewall.runs import Run, Runs

_LOG = logging.getLogger(__name__)

SKEW_SECONDS: Final = 300
"""How far a signer's clock may be off."""
TICK_SECONDS: Final = 0.5
"""How often windows and expiries are looked at; each look is a few comparisons per open hold."""
LISTED_MAX: Final = 500
"""Holds in one answer: it fits a control message, and nobody reads more."""
RETRY_SECONDS: Final = 5
"""Until what has passed is tried again, when the firewall could not answer."""


class Path(Protocol):
    """The pipeline, as far as it is needed here."""

    async def release(self, run: Run, action: Action) -> Reply:
        """Take a held action from its facts on.

        Raises:
            SafeboxError: if it can't be decided now.
        """
        ...


class Approvals:
    """Holds of the live runs, and the people who decide about them.

    Args:
        path: what passed goes on there.
        roster: who may vote.
        bundle: the digest of the policy bundle in force.
        ready: whether a run's agent is there to go on.
    """

    def __init__(
        self,
        *,
        path: Path,
        ledger: Ledger,
        runs: Runs,
        clock: Clock,
        metrics: Metrics,
        roster: Roster,
        bundle: Callable[[], str],
        ready: Callable[[str], bool],
    ) -> None:
        self._path = path
        self._ledger = ledger
        self._runs = runs
        self._clock = clock
        self._metrics = metrics
        self._roster = roster
        self._bundle = bundle
        self._ready = ready
        self._releases: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, int] = {}

    async def operate(self, op: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Do what somebody asks over the control socket: `approvals`, `approval` or `vote`.

        Raises:
            SafeboxError: if it can't be done.
        """
        match op:
            case "vote":
                return await self.vote(fields)
            case "approval":
                return self.shown(str(fields["hold"]))
            case _:
                return self.listed(every=fields.get("all") is True)

    def listed(self, *, every: bool = False) -> dict[str, Any]:
        """What waits, oldest first, and who could decide about it; `every` adds what is over, newest last."""
        now, books = self._clock.now_ns(), self._ledger.books.runs.values()
        found = [(book, hold) for book in books for hold in (book.holds.all if every else book.holds.open).values()]
        found.sort(key=lambda pair: pair[1].decided.at_ns)
        shown = found[-LISTED_MAX:] if every else found[:LISTED_MAX]
        answer: dict[str, Any] = {"holds": [brief(book, hold, now) for book, hold in shown], "problem": None}
        try:
            answer["groups"] = {group: sorted(members) for group, members in self._roster.groups().items()}
        except ConfigError as error:
            answer |= {"groups": {}, "problem": error.cause}
        return answer

    def shown(self, name: str) -> dict[str, Any]:
        """All there is to know about one hold, also after its end.

        Raises:
            CallerError: if there is none of this name.
        """
        for book in self._ledger.books.runs.values():
            hold = book.holds.all.get(name)
            if hold is not None:
                members = sorted(self._roster.members(hold.terms.group))
                return whole(book, hold, self._clock.now_ns()) | {"members": members}
        raise _unknown(name)

    async def vote(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Take one signed answer about one hold.

        Raises:
            CallerError: if it isn't one that counts; nothing is recorded then.
            ConfigError: if nobody can approve now.
            LedgerUnavailable: if it can't be recorded; then it wasn't given.
        """
        try:
            vote, run, hold = self._read(fields)
        except CallerError:
            self._metrics.voted("invalid")
            raise
        doubt = vote.verdict == "deny"
        hold.doubts += doubt  # from here on nothing passes, also while the no is on its way to the disk
        try:
            await self._ledger.note(vote)
        finally:
            hold.doubts -= doubt
        self._metrics.voted(vote.verdict)
        if doubt:
            self._metrics.hold_over("refused")
        self._runs.tell(vote)
        self._look(run, hold, self._clock.now_ns())
        return self.shown(hold.id)

    def _read(self, fields: dict[str, Any]) -> tuple[Voted, Run, Hold]:
        try:
            statement = msgspec.convert(fields.get("statement"), Statement, strict=True)
            signature = msgspec.convert(fields.get("signature"), str, strict=True)
        except msgspec.ValidationError as error:
            raise CallerError(f"this is no vote: {error}", code="approval.invalid") from error
        run, hold = self._find(statement.hold)
        now = self._clock.now_ns()
        if not hold.is_open(now):
            raise CallerError(f"this is over: {state(hold, now)}", code="approval.too_late")
        key = self._roster.groups().get(hold.terms.group, {}).get(statement.approver)
        if key is None:
            raise CallerError(
                f"{statement.approver[:64]!r} is not in the group {hold.terms.group!r}", code="approval.not_a_member"
            )
        vote = Voted(at_ns=now, key=key, signature=signature, **msgspec.structs.asdict(statement))
        if not hold.is_about(vote) or not is_signed(vote):
            raise CallerError("the signature does not fit this hold and this approver", code="approval.bad_signature")
        if not hold.decided.at_ns - SKEW_SECONDS * SECOND <= vote.signed_ns <= now + SKEW_SECONDS * SECOND:
            raise CallerError("the vote was signed at another time", code="approval.bad_time")
        if vote.verdict == "approve" and vote.approver in hold.votes:
            raise CallerError(f"{vote.approver} has already approved this", code="approval.twice")
        return vote, run, hold

    async def tick(self) -> None:
        """Let go on what has passed, close what has expired, and count what waits.

        Raises:
            LedgerUnavailable: if an end can't be recorded; it is tried again at the next tick.
        """
        now = self._clock.now_ns()
        waiting: list[tuple[str, float]] = []
        for run, hold in list(self._holds()):
            if not hold.is_open(now) or run.state == "killed":
                await self._end(run, hold, now)
                continue
            waiting.append(
                ("approvals" if hold.passes_ns is None else "challenge", (now - hold.decided.at_ns) / SECOND)
            )
            self._look(run, hold, now)
        self._metrics.holds(waiting)

    async def follow(self) -> None:
        """Look again and again, for ever."""
        while True:
            with contextlib.suppress(LedgerUnavailable):
                await self.tick()
            await asyncio.sleep(TICK_SECONDS)

    async def finish(self, seconds: float) -> None:
        """Wait that long for what is going on, then leave the rest to the next firewall's recovery."""
        if self._releases:
            _, late = await asyncio.wait(self._releases.values(), timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _holds(self) -> Iterator[tuple[Run, Hold]]:
        for run in self._runs.all():
            for hold in list(run.book.holds.open.values()):
                yield run, hold

    def _find(self, name: str) -> tuple[Run, Hold]:
        for run in self._runs.all():
            hold = run.book.holds.all.get(name)
            if hold is not None:
                return run, hold
        raise _unknown(name)

    def _look(self, run: Run, hold: Hold, now: int) -> None:
        """Let a hold go on if it has passed, its run may act, and that isn't under way already."""
        due = hold.id not in self._releases and now >= self._not_before.get(hold.id, 0)
        if not due or not _may_act(run, hold) or not self._ready(run.view.id):
            return
        approval = hold.passed(now, self._roster.members(hold.terms.group))
        if approval is not None:
            self._not_before[hold.id] = now + RETRY_SECONDS * SECOND
            task = asyncio.ensure_future(self._release(run, hold, approval))
            self._releases[hold.id] = task
            task.add_done_callback(lambda _: self._releases.pop(hold.id))

    async def _release(self, run: Run, hold: Hold, approval: Approval) -> None:
        try:
            await self._go_on(run, hold, approval)
        except LedgerMoved:
            self._not_before.pop(hold.id, None)  # another firewall wrote about this run: look again, knowing what
        except FirewallError as error:
            self._metrics.failed(error)
            _LOG.warning("%s has passed and can't be decided now: %s", hold.id, error.cause)
        if hold.closed is not None or hold.used is not None:
            self._not_before.pop(hold.id, None)
        if hold.used is not None:
            self._metrics.hold_over("released" if hold.used.allowed else "denied")

    async def _go_on(self, run: Run, hold: Hold, approval: Approval) -> None:
        now, held = self._clock.now_ns(), hold.decided
        action = msgspec.structs.replace(action_of(held), received_ns=now, key=None, approval=approval)
        if self._bundle() != held.bundle:
            await self._close(run, hold, "policy_changed")
        elif digest_of((action.tool, action.args)) != held.digest:
            await self._close(run, hold, "impossible")
        else:
            try:
                await self._path.release(run, action)
            except CallerError as error:
                _LOG.warning("%s was approved and makes no sense any more: %s", hold.id, error.cause)
                await self._close(run, hold, "impossible")

    async def _end(self, run: Run, hold: Hold, now: int) -> None:
        """Close what nobody needs to look at any more; a run may have been stopped with one it descends from."""
        if hold.id not in self._releases:
            await self._close(run, hold, "expired" if now >= hold.expires_ns else "run_killed")

    async def _close(self, run: Run, hold: Hold, reason: str) -> None:
        closed = HoldClosed(at_ns=self._clock.now_ns(), run=run.view.id, hold=hold.id, reason=reason)
        await self._ledger.note(closed)
        self._metrics.hold_over("expired" if reason == "expired" else "void")
        self._runs.tell(closed)


def _may_act(run: Run, hold: Hold) -> bool:
    """Whether what passed may go on now. What waits for a resume or a thaw isn't used up by a no meanwhile."""
    return run.state == "live" or (run.state == "frozen" and not TOOLS[hold.decided.tool].moves_wallet)


def _unknown(name: str) -> CallerError:
    return CallerError(
        f"there is no held decision {name[:64]!r}", remedy="safebox approvals list shows them", code="approval.unknown"
    )
