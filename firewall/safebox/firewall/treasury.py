"""Wallets are leases: funded from the owner's treasury at the start, swept back above the ceiling and at the end.

What arrives in one without being granted is written down as earned: it waits for its sweep and pays for nothing.

Every movement is an action like any other, asked by the owner and judged by policy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from safebox.firewall.core.action import Call
from safebox.firewall.core.mandate import ACCOUNT_WALLET, WalletGrant
from safebox.firewall.core.money import UNITS_MAX, Amount, format_units
from safebox.firewall.core.reply import Reply, Status, could_not
from safebox.firewall.core.tools import TOOLS, Caller
from safebox.firewall.errors import CallerError, FactsUnavailable, FirewallError
from safebox.firewall.loans import MOVES, Holdings, Loans, Note
from safebox.firewall.metrics import Metrics
from safebox.firewall.ports import Desk
from safebox.firewall.runs import Run, RunNotLive, Runs

Balance = Callable[[str], Awaitable[int]]


class Treasury:
    """Moves money between the owner and runs.

    Args:
        desk: the pipeline.
        runs: the live runs.
        owner: the owner's address.
        balance: tells an address's balance in wei; raises `FirewallError` if the chain can't be asked.
        metrics: counts sweeps and wallets over their ceiling.
        note: records income; raises `LedgerUnavailable` if it can't, and then it is seen again.
        chain: says what is final, and what is held of tokens; without it every block is, and no token is moved.
    """

    def __init__(
        self,
        desk: Desk,
        runs: Runs,
        owner: str,
        balance: Balance,
        metrics: Metrics,
        note: Note,
        chain: Holdings | None = None,
    ) -> None:
        self._desk = desk
        self._runs = runs
        self.owner = owner
        self.balance = balance
        self._metrics = metrics
        self._note = note
        self._settled = balance if chain is None else chain.settled
        self._loans = None if chain is None else Loans(chain, owner, self._move, note, metrics)
        self._funding = asyncio.Lock()

    async def fund(self, run: Run) -> Reply | None:
        """Give a run what its mandate grants; None if it grants no wallet, a no if it was stopped."""
        wallet = run.view.mandate.wallet
        if wallet is None or run.view.address is None or wallet.budget.units == 0:
            return None
        async with self._funding:  # the owner's nonces are used one after the other
            if run.stopped is not None:
                return could_not(RunNotLive(f"the run is {run.stopped}"))
            return await self._move(run, "wallet.fund", run.view.address, wallet.budget)

    async def fund_tokens(self, run: Run) -> list[str]:
        """Lend a run the tokens of its mandate, as far as the owner has them; what could not be lent is said."""
        if self._loans is None:
            return []
        async with self._funding:
            return [] if run.stopped is not None else await self._loans.fund(run)

    async def fund_again(self, run: Run, amount: Amount | None) -> tuple[Amount, Reply]:
        """Give a run back of what was taken from it before: this much, or all that its mandate leaves room for.

        Raises:
            CallerError: if it may have nothing, or not that much: more than it can still spend would only lie there.
            FactsUnavailable: if what it holds isn't known now.
        """
        async with self._funding:
            room = await self._room(run)
            given = amount or Amount(room, _wallet_of(run).budget.asset)
            if not 0 < given.units <= room or run.view.address is None:
                raise CallerError(
                    f"the run may be given at most {format_units(room, given.asset)} now: "
                    "but for that, it holds all that its mandate lets it still spend",
                    remedy="no run is lent more than its mandate grants: start one under a larger mandate",
                    code="wallet.no_room",
                )
            return given, await self._move(run, "wallet.fund", run.view.address, given)

    async def _room(self, run: Run) -> int:
        """What a live run may spend beyond what its wallet holds."""
        if run.why is not None:
            raise CallerError(f"the run is {run.why}", remedy="start a new run", code="wallet.no_room")
        wallet = _wallet_of(run)
        expected = _expected(run, wallet)
        if expected is None:
            raise FactsUnavailable("a movement of this wallet is still under way", remedy="safebox wallet history")
        balance = await self.balance(str(run.view.address))
        return max(0, run.book.unspent(ACCOUNT_WALLET, wallet.budget.asset) - max(balance, expected))

    async def sweep_now(self, run: Run) -> Reply | None:
        """Take back all a live run holds; what it earned is written down first. None if there is nothing to take."""
        await self._check(run)
        if self._loans is not None:
            await self._loans.note(run)
        return await self.sweep(run)

    async def sweep(self, run: Run) -> Reply | None:
        """Take back all a run holds, tokens first, as the rest pays their fees; None if there is nothing to take.

        What a token does is no reason to leave the rest. If one did not come home, the reply is about that one.
        """
        async with run.turn(TOOLS["wallet.fund"].queue):
            pass  # a funding that is under way lands first, or its money would stay where nobody looks any more
        address = run.view.address
        if address is None:
            return None
        tokens = [] if self._loans is None else await self._loans.sweep(run)
        swept = await self._move(run, "wallet.sweep", self.owner, None) if await self.balance(address) else None
        missed = next((reply for reply in tokens if reply.status is not Status.DONE), None)
        return missed or swept or next(iter(tokens), None)

    async def check(self) -> None:
        """Note what wallets earned, and sweep what any holds beyond its ceiling.

        A chain that can't be asked leaves all as it is.
        """
        over = 0
        for run in self._runs.all():
            over += await self._check(run) | (self._loans is not None and await self._loans.check(run))
        self._metrics.over_ceiling(over)

    async def _check(self, run: Run) -> bool:
        wallet, address = run.view.mandate.wallet, run.view.address
        if wallet is None or address is None:
            return False
        expected = _expected(run, wallet)
        try:
            balance = await self.balance(address)
            if balance > UNITS_MAX:
                raise FactsUnavailable("the node named an impossible balance")
            if expected is not None and balance > expected >= 0:
                sure = min(balance, await self._settled(address))
                if expected == _expected(run, wallet) and sure > expected:
                    await self._note(run.view.id, Amount(sure - expected, wallet.budget.asset))
        except FirewallError as error:
            self._metrics.failed(error)
            return False
        if wallet.ceiling is None or balance <= wallet.ceiling.units:
            return False
        keep = min(run.book.unspent(ACCOUNT_WALLET, wallet.budget.asset), wallet.ceiling.units)
        reply = await self._move(run, "wallet.sweep", self.owner, Amount(balance - keep, wallet.budget.asset))
        if reply.status is Status.DONE:
            self._metrics.swept()
        return True

    async def _move(self, run: Run, tool: str, to: str, amount: Amount | None) -> Reply:
        arguments = {"to": to, "amount": amount}
        return await self._desk.handle(Call(run=run.view.id, tool=tool, arguments=arguments, caller=Caller.OWNER))


def _wallet_of(run: Run) -> WalletGrant:
    wallet = run.view.mandate.wallet
    if wallet is None or run.view.address is None:
        raise CallerError("the run has no wallet", remedy="grant one in its mandate", code="wallet.none")
    return wallet


def _expected(run: Run, wallet: WalletGrant) -> int | None:
    """What the wallet holds if nobody paid into it; None while something moves and nobody can say."""
    if any(event.tool in MOVES for event in run.book.open.values()):
        return None
    return run.book.holding(ACCOUNT_WALLET, wallet.budget.asset)
