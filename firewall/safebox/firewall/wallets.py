"""The owner's look at wallets, over the control socket: the treasury and every leased wallet, as the chain tells them.

Rule 1: nothing is decided here. Balances are the chain's; what was granted and earned is the ledger's.
Rule 2: what the chain doesn't tell is null and said so, never 0.
"""

from __future__ import annotations

from typing import Any, Final

from safebox.firewall.core.books import RunBook
from safebox.firewall.core.mandate import ACCOUNT_WALLET
from safebox.firewall.errors import CallerError, FirewallError
from safebox.firewall.ledger import Ledger
from safebox.firewall.recovery import view_of
from safebox.firewall.runs import Runs
from safebox.firewall.treasury import Balance, Treasury

SHOWN_MAX: Final = 200
"""Wallets asked about at once: each is a question to the node, and somebody waits for the answer."""
ENDED: Final = "ended"


class Wallets:
    """Answers what the owner asks about wallets.

    Args:
        ledger: knows every run there was.
        runs: the live ones.
        treasury: knows the owner, and what the chain says of an address.
    """

    def __init__(self, ledger: Ledger, runs: Runs, treasury: Treasury) -> None:
        self._ledger = ledger
        self._runs = runs
        self._treasury = treasury

    async def operate(self, op: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked over the control socket.

        Raises:
            CallerError: if there is no such operation.
        """
        if op != "wallets":
            raise CallerError(f"there is no operation {op!r}")
        return await self.show(every=bool(fields.get("all")))

    async def show(self, *, every: bool) -> dict[str, Any]:
        """The owner's wallet and the leased ones, the newest last; `every` adds those of runs that ended."""
        live = {run.view.id: run for run in self._runs.all()}
        meant = [
            book
            for name, book in self._ledger.books.runs.items()
            if book.mandate.wallet is not None and (name in live or (every and book.ended is not None))
        ]
        asking = _Asking(self._treasury.balance)
        found: dict[str, Any] = {"owner": self._treasury.owner, "balance": await asking.of(self._treasury.owner)}
        wallets: list[dict[str, Any]] = []
        for book in meant[-SHOWN_MAX:]:
            here = live.get(book.started.run)
            wallets.append(await _shown(book, here.state if here is not None else ENDED, asking))
        return {**found, "wallets": wallets, "left_out": max(0, len(meant) - SHOWN_MAX), "problem": asking.problem}


class _Asking:
    """Asks one address after the other; a chain that can't be asked once is not asked again this time."""

    def __init__(self, balance: Balance) -> None:
        self._balance = balance
        self.problem: str | None = None

    async def of(self, address: str | None) -> str | None:
        """The balance in wei, as text; None if nobody can say."""
        if address is None or self.problem is not None:
            return None
        try:
            return str(await self._balance(address))
        except FirewallError as error:
            self.problem = error.cause
            return None


async def _shown(book: RunBook, state: str, asking: _Asking) -> dict[str, Any]:
    view, wallet = view_of(book.started), book.mandate.wallet
    assert wallet is not None  # noqa: S101 (only runs with a wallet are shown)
    asset = wallet.budget.asset
    line = book.lines[ACCOUNT_WALLET, asset]
    return {
        "run": view.id,
        "agent": view.agent,
        "address": view.address,
        "state": state,
        "asset": asset,
        "granted": str(wallet.budget.units),
        "spent": str(line.spent),
        "reserved": str(line.reserved),
        "quarantined": str(book.quarantined(asset)),
        "balance": await asking.of(view.address),
    }
