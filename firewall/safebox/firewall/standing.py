"""Whether a run may act: what people said about it, in force at once, and what the ledger says, which stays.

Rule 1: a kill, a pause and a freeze are in force from the moment they are heard, in any thread, recorded or not.
Rule 2: a resume and a thaw are in force once they are recorded.
Rule 3: what is recorded holds in every firewall that reads the ledger, so a restart changes nothing.
Rule 4: a child acts only while none of its forebears is killed, paused or over, and pays only while none is frozen.
Rule 5: the owner may still bring the money home.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from safebox.firewall.core.books import RunBook
from safebox.firewall.core.tools import Caller, Tool
from safebox.firewall.errors import FirewallError

OVER: Final = "over"
"""What `Standing.stopped` says of a run that has ended by itself."""
STATES: Final = ("live", "paused", "frozen", "killed", OVER)
"""What a run can be; killed outweighs paused, paused outweighs frozen."""


class MayNotAct(FirewallError):
    """The run may not do this now, whatever policy says."""

    port = "run"


class RunNotLive(MayNotAct):
    """The run was stopped, has ended, or was never started here."""

    default_code = "firewall.run_not_live"


class RunIsPaused(MayNotAct):
    """The run's owner paused it, or a run it descends from."""

    default_code = "firewall.run_paused"
    told = "this run is paused by its owner; nothing was done"
    retry_after_s = 10


class WalletIsFrozen(MayNotAct):
    """The owner froze the run's wallet, or that of a run it descends from."""

    default_code = "firewall.wallet_frozen"
    told = "this run's wallet is frozen by its owner; nothing was done"
    retry_after_s = 60


class Standing:
    """What holds for one run.

    `stopped` says why it was ended. `pausing` and `freezing` are marks that bridge the time until the book says it;
    each is one reference, so that the thread that hears an order and the loop that looks at it never see half of it.
    `returning`: it has ended, and its owner brings home what it left behind.
    """

    def __init__(self, book: RunBook) -> None:
        self.book = book
        self.parent: Standing | None = None
        self.stopped: str | None = None
        self.pausing: object | None = None
        self.freezing: object | None = None
        self.returning = False

    @property
    def frozen(self) -> bool:
        """Whether its wallet is frozen, or that of a run it descends from."""
        return self.freezing is not None or self.book.frozen is not None or self.frozen_by_parent

    @property
    def paused(self) -> bool:
        """Whether it, or a run it descends from, is paused."""
        return self.pausing is not None or self.book.paused is not None or self.held_by_parent

    @property
    def held_by_parent(self) -> bool:
        """Whether a run it descends from is paused."""
        if self.book.parent is None:
            return False
        marked = any(one.pausing is not None for one in self._parents())
        return marked or any(book.paused is not None for book in self._forebears())

    @property
    def frozen_by_parent(self) -> bool:
        """Whether the wallet of a run it descends from is frozen."""
        if self.book.parent is None:
            return False
        marked = any(one.freezing is not None for one in self._parents())
        return marked or any(book.frozen is not None for book in self._forebears())

    @property
    def why(self) -> str | None:
        """Why it may not act any more, in words that go after "the run is"; None if it may."""
        if self.book.killed is not None:
            return f"killed by {self.book.killed.by}"
        if self.stopped is not None or self.book.ended is not None:
            return self.stopped or OVER
        if self.book.parent is None:
            return None
        for book in self._forebears():
            if book.killed is not None:
                return f"stopped with a run it descends from, killed by {book.killed.by}"
        for one in self._parents():
            if one.stopped not in (None, OVER):
                return f"stopped with a run it descends from, {one.stopped}"
        ended = any(one.stopped is not None for one in self._parents())
        return OVER if ended or any(book.ended is not None for book in self._forebears()) else None

    @property
    def state(self) -> str:
        """One of `STATES`."""
        why = self.why
        if why is not None:
            return OVER if why == OVER else "killed"
        if self.paused:
            return "paused"
        return "frozen" if self.frozen else "live"

    def descends_from(self, run: str) -> bool:
        """Whether a run of this name is its parent, or its parent's parent, and so on."""
        return any(book.started.run == run for book in self._forebears())

    def check_live(self, caller: Caller) -> None:
        """Go on only if the run may act; its owner may still bring the money home after a stop.

        Raises:
            RunNotLive: if it or a run it descends from was killed, or it has ended.
            RunIsPaused: if it or a run it descends from is paused.
        """
        if self.book.ended is not None and not (self.returning and caller is Caller.OWNER):
            raise RunNotLive(f"the run is {self.why}")
        if caller is not Caller.AGENT:
            return
        if (why := self.why) is not None:
            raise RunNotLive(f"the run is {why}")
        if self.paused:
            raise RunIsPaused("the run is paused")

    def check_effect(self, tool: Tool, caller: Caller) -> None:
        """The last look before an effect.

        Raises:
            RunNotLive: as `check_live`.
            RunIsPaused: as `check_live`.
            WalletIsFrozen: if the run would move value out of its frozen wallet.
        """
        self.check_live(caller)
        if tool.moves_wallet and caller is Caller.AGENT and self.frozen:
            raise WalletIsFrozen("the wallet is frozen")

    def _forebears(self) -> Iterator[RunBook]:
        book = self.book.parent
        while book is not None:
            yield book
            book = book.parent

    def _parents(self) -> Iterator[Standing]:
        one = self.parent
        while one is not None:
            yield one
            one = one.parent
