"""What waits for people, folded from the ledger: the same live as after a restart.

Rule 1: a hold is about one action digest of one run under one policy bundle, and at most one more decision comes of it.
Rule 2: a no by anybody closes it, and the run is never again answered otherwise about that action.
Rule 3: silence is a no, unless the hold is a challenge window and the window has passed.
Rule 4: what is over (used, refused, expired, void, its run stopped) is never opened again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from safebox.firewall.core.action import Approval
from safebox.firewall.core.approval import is_signed
from safebox.firewall.core.decision import Reason, Verdict
from safebox.firewall.core.record import AskedAgain, Decided, HoldClosed, Settled, Voted

SECOND: Final = 1_000_000_000
OPEN_MAX: Final = 16
"""Open holds of one run: as many as a person looks through at once. A run that asks for more is storming."""
TOTAL_MAX: Final = 256
"""Holds of one run in all; people's attention is a budget, too."""
APPROVALS_MAX: Final = 16
"""Approvals one hold may need."""
EXPIRES_MAX: Final = 31 * 86_400
"""A month: what nobody answered by then is asked for again."""

REFUSED: Final = Reason("hold.refused", "A person said no to this.")
VOID: Final = Reason("hold.void", "What was held can no longer be done.")
MORE_ASKED: Final = Reason("hold.void", "Policy now asks for more than was approved.")
WITHOUT_TERMS: Final = Reason("hold.unusable", "Policy held this without saying who may approve it.")
NOT_KEPT: Final = Reason("hold.unusable", "This needs approval, and what it carries can't be kept until then.")
NO_LAUNCH: Final = Reason("hold.unusable", "the start of a run can't wait for people")
TOO_MANY: Final = Reason("hold.too_many", "Too many actions of this run wait for approval.")

GROUP: Final = r"^[a-z0-9][a-z0-9_-]{0,62}\Z"
"""Groups and approvers are named as agents are."""


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must happen until a hold passes: so many approvals, or a window of time without a veto.

    A hold that passes neither before `expires_s` seconds are over never does.
    """

    group: Annotated[str, msgspec.Meta(pattern=GROUP)]
    expires_s: Annotated[int, msgspec.Meta(ge=1, le=EXPIRES_MAX)]
    approvals: Annotated[int, msgspec.Meta(ge=1, le=APPROVALS_MAX)] | msgspec.UnsetType = msgspec.UNSET
    challenge_s: Annotated[int, msgspec.Meta(ge=1, le=EXPIRES_MAX)] | msgspec.UnsetType = msgspec.UNSET

    @property
    def needed(self) -> int:
        """Approvals that let it pass; a single one ends a challenge window early."""
        return 1 if self.approvals is msgspec.UNSET else self.approvals

    @property
    def window_s(self) -> int | None:
        """Seconds after which silence passes; None where people must approve."""
        return None if self.challenge_s is msgspec.UNSET else self.challenge_s


class _Obligations(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    hold: Terms
    monitored: tuple[Reason, ...] = ()


def parse_terms(obligations: Mapping[str, Any]) -> Terms | None:
    """Read `{"hold": {"group", "approvals" or "challenge_s", "expires_s"}}`; None for anything else.

    What rules in monitor mode said may stand beside it.

    Fails closed: a hold without terms is one nobody can approve, and the pipeline denies it.
    """
    try:
        terms = msgspec.convert(dict(obligations), _Obligations, strict=True).hold
    except msgspec.ValidationError:
        return None
    if (terms.approvals is msgspec.UNSET) == (terms.challenge_s is msgspec.UNSET):
        return None
    if terms.window_s is not None and terms.window_s >= terms.expires_s:
        return None
    return terms


class Hold:
    """One held decision and what became of it.

    `votes` are the approvals by approver, `refused_by` is the no. `used` is the decision it led to, `outcome` its
    end, `told` whether the agent knows. `doubts` counts noes on their way to the disk: nothing may pass meanwhile.
    """

    __slots__ = ("closed", "decided", "doubts", "outcome", "refused_by", "terms", "told", "used", "votes")

    def __init__(self, decided: Decided, terms: Terms) -> None:
        self.decided = decided
        self.terms = terms
        self.votes: dict[str, Voted] = {}
        self.refused_by: Voted | None = None
        self.closed: str | None = None
        self.used: Decided | None = None
        self.outcome: Settled | None = None
        self.told = False
        self.doubts = 0

    @property
    def id(self) -> str:
        """The decision that was held."""
        return self.decided.decision

    @property
    def passes_ns(self) -> int | None:
        """When its challenge window is over."""
        return None if self.terms.window_s is None else self.decided.at_ns + self.terms.window_s * SECOND

    @property
    def expires_ns(self) -> int:
        """From when on it can't pass any more."""
        return self.decided.at_ns + self.terms.expires_s * SECOND

    def is_open(self, now: int) -> bool:
        """Whether it still waits."""
        return self.closed is None and self.used is None and now < self.expires_ns

    @property
    def final(self) -> bool:
        """Whether there is nothing more to wait for."""
        if self.used is None:
            return self.closed is not None
        return not self.used.allowed or (self.outcome is not None and self.outcome.status != "unknown")

    def answers(self, now: int) -> bool:
        """Whether the same call, asked again, is about this hold and no new question.

        While it waits or is being done, it is. Its end is told once; from then on, and in any case from its expiry on,
        the same call asks for the thing a second time.
        """
        if self.used is None:
            return self.is_open(now)
        under_way = self.used.allowed and self.outcome is None
        return under_way or (now < self.expires_ns and not self.told)

    def is_about(self, vote: Voted) -> bool:
        """Whether a vote speaks of exactly this: the run, the action, the bundle and the group."""
        mine = self.decided
        same = (vote.hold, vote.run, vote.digest, vote.bundle) == (mine.decision, mine.run, mine.digest, mine.bundle)
        return same and vote.group == self.terms.group

    def passed(self, now: int, members: Mapping[str, str]) -> Approval | None:
        """How it has passed, if it has.

        Counts only good signatures of those who are members now (name → key), under the key they have now. A challenge
        window passes only if there is somebody who could have said no.
        """
        if not self.is_open(now) or self.doubts:
            return None
        yes = sorted(name for name, vote in self.votes.items() if members.get(name) == vote.key and is_signed(vote))
        silent = self.passes_ns is not None and now >= self.passes_ns and bool(members)
        if len(yes) < self.terms.needed and not silent:
            return None
        return Approval(
            hold=self.id,
            group=self.terms.group,
            approved_by=tuple(yes),
            challenge_passed=silent,
            waited_s=(now - self.decided.at_ns) // SECOND,
        )

    def earned(self, allowed: Decided) -> bool:
        """Whether the record alone shows that this later decision was due; needs no list of members."""
        yes = len({vote.key for vote in self.votes.values()})
        silent = self.passes_ns is not None and allowed.at_ns >= self.passes_ns
        same = (allowed.digest, allowed.bundle) == (self.decided.digest, self.decided.bundle)
        return same and self.is_open(allowed.at_ns) and (yes >= self.terms.needed or silent)


class RunHolds:
    """All holds of one run. `latest` is by action digest, `refused` are the digests people said no to.

    `unearned` counts allows that name a hold which had not passed: there must never be one.
    """

    __slots__ = ("_uses", "all", "latest", "open", "refused", "unearned")

    def __init__(self) -> None:
        self.all: dict[str, Hold] = {}
        self.open: dict[str, Hold] = {}
        self.latest: dict[str, Hold] = {}
        self.refused: set[str] = set()
        self.unearned = 0
        self._uses: dict[str, Hold] = {}

    @property
    def full(self) -> bool:
        """Whether no further hold may be opened."""
        return len(self.open) >= OPEN_MAX or len(self.all) >= TOTAL_MAX

    def decide(self, event: Decided) -> None:
        """A decision opens a hold, or uses one up whatever it says."""
        if event.hold is not None:
            self._use(event, event.hold)
        elif event.answer.verdict is Verdict.HOLD and (terms := parse_terms(event.answer.obligations)) is not None:
            hold = Hold(event, terms)
            self.all[hold.id] = self.open[hold.id] = self.latest[event.digest] = hold

    def _use(self, event: Decided, name: str) -> None:
        hold = self.all.get(name)
        if hold is None or hold.used is not None or (event.allowed and not hold.earned(event)):
            self.unearned += event.allowed
        if hold is not None and hold.used is None and (event.allowed or hold.closed is None):
            hold.used = event
            self._uses[event.decision] = hold
            self.open.pop(hold.id, None)

    def revert(self, event: Decided) -> None:
        """That decision did not become durable."""
        if event.hold is not None:
            hold = self._uses.pop(event.decision, None)
            if hold is not None:
                hold.used = None
                self.open[hold.id] = hold
        elif self.all.pop(event.decision, None) is not None:
            self.open.pop(event.decision, None)
            self.latest.pop(event.digest, None)

    def settle(self, event: Settled) -> None:
        """Something was done; perhaps what a hold had led to."""
        hold = self._uses.get(event.decision)
        if hold is not None:
            hold.outcome = event

    def vote(self, event: Voted) -> None:
        """A person answered; an answer that comes too late, or is about something else, changes nothing."""
        hold = self.open.get(event.hold)
        if hold is None or not hold.is_about(event):
            return
        if event.verdict == "deny":
            hold.refused_by = event
            self.refused.add(hold.decided.digest)
            self._close(hold, "refused")
        else:
            hold.votes.setdefault(event.approver, event)

    def close(self, event: HoldClosed) -> None:
        """It is over."""
        if event.hold in self.open:
            self._close(self.open[event.hold], event.reason)

    def asked(self, event: AskedAgain) -> Hold:
        """The agent asked again."""
        hold = self.all[event.hold]
        hold.told = hold.told or event.told
        return hold

    def stop(self, reason: str) -> None:
        """The run was stopped or has ended: nothing of it waits any more."""
        for hold in list(self.open.values()):
            self._close(hold, reason)

    def _close(self, hold: Hold, reason: str) -> None:
        hold.closed = reason
        self.open.pop(hold.id, None)
