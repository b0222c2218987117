"""Wallets are leases: funded from the owner's treasury at the start, swept back above the ceiling and at the end.

Every movement is an action like any other, asked by the owner and judged by policy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from safebox.firewall.core.action import Call
from safebox.firewall.core.mandate import ACCOUNT_WALLET
from safebox.firewall.core.money import Amount
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.core.tools import Caller
from safebox.firewall.errors import FirewallError
from safebox.firewall.metrics import Metrics
from safebox.firewall.ports import Desk
from safebox.firewall.runs import Run, Runs

Balance = Callable[[str], Awaitable[int]]


class Treasury:
    """Moves money between the owner and runs.

    Args:
        desk: the pipeline.
        runs: the live runs.
        owner: the owner's address.
        balance: tells an address's balance in wei; raises `FirewallError` if the chain can't be asked.
        metrics: counts sweeps and wallets over their ceiling.
    """

    def __init__(self, desk: Desk, runs: Runs, owner: str, balance: Balance, metrics: Metrics) -> None:
        self._desk = desk
        self._runs = runs
        self._owner = owner
        self._balance = balance
        self._metrics = metrics
        self._funding = asyncio.Lock()

    async def fund(self, run: Run) -> Reply | None:
        """Give a run what its mandate grants; None if it grants no wallet."""
        wallet = run.view.mandate.wallet
        if wallet is None or run.view.address is None or wallet.budget.units == 0:
            return None
        async with self._funding:  # the owner's nonces are used one after the other
            return await self._move(run, "wallet.fund", run.view.address, wallet.budget)

    async def sweep(self, run: Run) -> Reply | None:
        """Take back all a run holds; None if there is nothing to take."""
        address = run.view.address
        if address is None or await self._balance(address) == 0:
            return None
        return await self._move(run, "wallet.sweep", self._owner, None)

    async def check_ceilings(self) -> None:
        """Sweep what any wallet holds beyond its ceiling; a chain that can't be asked leaves all as it is."""
        over = 0
        for run in self._runs.all():
            over += await self._check(run)
        self._metrics.over_ceiling(over)

    async def _check(self, run: Run) -> bool:
        wallet, address = run.view.mandate.wallet, run.view.address
        if wallet is None or wallet.ceiling is None or address is None:
            return False
        try:
            balance = await self._balance(address)
        except FirewallError as error:
            self._metrics.failed(error)
            return False
        if balance <= wallet.ceiling.units:
            return False
        keep = min(run.book.remaining(ACCOUNT_WALLET, wallet.budget.asset) or 0, wallet.ceiling.units)
        reply = await self._move(run, "wallet.sweep", self._owner, Amount(balance - keep, wallet.budget.asset))
        if reply.status is Status.DONE:
            self._metrics.swept()
        return True

    async def _move(self, run: Run, tool: str, to: str, amount: Amount | None) -> Reply:
        arguments = {"to": to, "amount": amount}
        return await self._desk.handle(Call(run=run.view.id, tool=tool, arguments=arguments, caller=Caller.OWNER))
