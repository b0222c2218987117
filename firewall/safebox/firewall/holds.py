"""What the pipeline asks about holds: whether a call is about one that is there already, and whether a new one may be.

Nothing here waits for people; that is `approvals.py`. Everything here only ever makes an answer stricter.
"""

from __future__ import annotations

import json

from safebox.firewall.core.action import Action, canonical, digest_of
from safebox.firewall.core.decision import Answer, Verdict, overruled
from safebox.firewall.core.holds import (
    MORE_ASKED,
    NOT_KEPT,
    REFUSED,
    TOO_MANY,
    VOID,
    WITHOUT_TERMS,
    Hold,
    RunHolds,
    parse_terms,
)
from safebox.firewall.core.record import AskedAgain, Decided
from safebox.firewall.core.reply import Reply, about, repeated
from safebox.firewall.core.tools import TOOLS, Caller
from safebox.firewall.errors import CallerError
from safebox.firewall.ledger import Ledger
from safebox.firewall.ports import Clock, Engine
from safebox.firewall.runs import Run, Runs


class Holds:
    """Answers the pipeline's questions from the books.

    Args:
        ledger: records that somebody asked again.
        clock: says what is over.
        engine: names the bundle in force.
        runs: the live ones.
    """

    def __init__(self, ledger: Ledger, clock: Clock, engine: Engine, runs: Runs) -> None:
        self._ledger = ledger
        self._runs = runs
        self._clock = clock
        self._engine = engine

    async def standing(self, run: Run, action: Action) -> Reply | None:
        """What is already said about this very action, while it waits or until its outcome was told.

        Raises:
            LedgerUnavailable: if it can't be recorded whom it was told.
        """
        hold = run.book.holds.latest.get(action.digest)
        asked = action.approval is None and action.caller is Caller.AGENT
        if hold is None or not asked or not hold.answers(self._clock.now_ns()):
            return None
        return await self._tell(run, hold, action.key)

    async def again(self, run: Run, earlier: Decided) -> Reply:
        """What is said to a key that is known.

        Raises:
            LedgerUnavailable: if it can't be recorded that the outcome was told.
        """
        hold = run.book.holds.all.get(earlier.decision)
        if hold is None:
            return repeated(earlier, run.book.settled.get(earlier.action_id))
        return await self._tell(run, hold, None)

    async def told(self, run: str, decision: str) -> Reply:
        """What became of a held decision of this run.

        Raises:
            CallerError: if the run has no such one.
            MayNotAct: if there is no such run, or it may not ask now.
            LedgerUnavailable: if it can't be recorded that the outcome was told.
        """
        found = self._runs.find(run)
        found.check_live(Caller.AGENT)
        hold = found.book.holds.all.get(decision)
        if hold is None:
            raise CallerError("no decision of this name was held", code="request.unknown_decision")
        return await self._tell(found, hold, None)

    async def _tell(self, run: Run, hold: Hold, key: str | None) -> Reply:
        reply, final = about(hold, self._clock.now_ns()), hold.final
        if key is not None or (final and not hold.told):
            now = self._clock.now_ns()
            await self._ledger.note(AskedAgain(at_ns=now, run=run.view.id, hold=hold.id, key=key, told=final))
        return reply

    def rule(self, run: Run, action: Action, answer: Answer) -> Answer:
        """What is left of policy's answer: a hold within bounds, a yes for what was approved, or a no."""
        if answer.verdict is Verdict.DENY:
            return answer
        holds = run.book.holds
        if action.approval is not None:
            return self._released(holds.all[action.approval.hold], answer)
        if action.digest in holds.refused:
            return overruled(answer, REFUSED)
        return _admitted(holds, action, answer) if answer.verdict is Verdict.HOLD else answer

    def _released(self, hold: Hold, answer: Answer) -> Answer:
        """The last look before a held action is decided for good."""
        if hold.closed == "refused":
            return overruled(answer, REFUSED)
        if hold.doubts or not hold.is_open(self._clock.now_ns()) or self._engine.bundle != hold.decided.bundle:
            return overruled(answer, VOID)
        if answer.verdict is Verdict.HOLD:
            return overruled(answer, MORE_ASKED)
        return answer


def _admitted(holds: RunHolds, action: Action, answer: Answer) -> Answer:
    """Whether a new hold may be opened; what nobody could approve or carry out later is denied at once."""
    if parse_terms(answer.obligations) is None:
        return overruled(answer, WITHOUT_TERMS)
    if action.caller is not Caller.AGENT or not is_kept_whole(action):
        return overruled(answer, NOT_KEPT)
    if holds.full:
        return overruled(answer, TOO_MANY)
    return answer


def is_kept_whole(action: Action) -> bool:
    """Whether the ledger keeps all of an action, so that it can be done from there; bytes of attachments aren't."""
    tool = TOOLS[action.tool]
    shown = json.loads(canonical(tool.view(action.args)))
    return digest_of((tool.name, tool.recall(shown))) == action.digest
