"""What the owner asks about wallets over the control socket: a look at all of them, a funding, a sweep.

Rule 1: nothing is decided here. Balances are the chain's, what was granted and earned is the ledger's, and money moves
        by actions that policy judges and the ledger records, as the treasury's own do.
Rule 2: what the chain doesn't tell is null and said so, never 0.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from safebox.firewall.connectors.chain import ChainConnector
from safebox.firewall.core.books import RunBook
from safebox.firewall.core.mandate import ACCOUNT_WALLET
from safebox.firewall.core.money import Amount, encode_amount, parse_amount
from safebox.firewall.core.reply import Reply
from safebox.firewall.errors import CallerError, FirewallError
from safebox.firewall.ledger import Ledger
from safebox.firewall.metrics import Metrics
from safebox.firewall.recovery import view_of
from safebox.firewall.runs import Run, RunNotLive, Runs
from safebox.firewall.stranded import Stranded
from safebox.firewall.treasury import Balance, Treasury

SHOWN_MAX: Final = 200
"""Wallets asked about at once: each is a question to the node, and somebody waits for the answer."""
ENDED: Final = "ended"
STRANDED: Final = "stranded"
"""The state of a wallet whose run has ended and whose money did not come home."""
WATCH_SECONDS: Final = 2
"""How often ceilings are looked at."""


async def watch_wallets(treasury: Treasury, chain: ChainConnector, metrics: Metrics) -> None:
    """See to ceilings, and count payments that vanished, until this is cancelled."""
    while True:
        with contextlib.suppress(FirewallError):
            await treasury.check()
        with contextlib.suppress(FirewallError):
            metrics.vanished(len(await chain.vanished()))
        await asyncio.sleep(WATCH_SECONDS)


class Wallets:
    """Answers what the owner asks about wallets.

    Args:
        ledger: knows every run there was.
        runs: the live ones.
        treasury: knows the owner, and what the chain says of an address.
        metrics: is told how many ended ones still hold something.
    """

    def __init__(self, ledger: Ledger, runs: Runs, treasury: Treasury, metrics: Metrics) -> None:
        self._ledger = ledger
        self._runs = runs
        self._treasury = treasury
        self.stranded = Stranded(ledger, runs, treasury, metrics)

    async def operate(self, op: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked over the control socket.

        Raises:
            SafeboxError: if there is no such operation or run, or the chain can't be asked.
        """
        match op:
            case "wallets":
                return await self.show(every=bool(fields.get("all")))
            case "fund":
                return await self.fund(self._live(fields), fields.get("amount"))
            case "sweep":
                return _moved(None, await self._sweep(fields))
            case _:
                raise CallerError(f"there is no operation {op!r}")

    async def fund(self, run: Run, amount: str | None) -> dict[str, Any]:
        """Give a run back what was taken from it, as an action like any other; `amount` is text as `0.5 ETH`.

        Raises:
            SafeboxError: if it was not even asked for.
        """
        asked = None if amount is None else parse_amount(str(amount), asset="ETH")
        given, reply = await self._treasury.fund_again(run, asked)
        return _moved(given, reply)

    async def _sweep(self, fields: dict[str, Any]) -> Reply | None:
        book = self._ledger.books.runs.get(str(fields["run"]))
        if book is not None and book.ended is not None:
            return await self.stranded.bring_home(book)
        return await self._treasury.sweep_now(self._live(fields))

    def _live(self, fields: dict[str, Any]) -> Run:
        name = str(fields["run"])
        try:
            return self._runs.find(name)
        except RunNotLive as error:
            raise CallerError(f"there is no live run {name!r}", remedy="safebox ps lists them") from error

    async def show(self, *, every: bool) -> dict[str, Any]:
        """The owner's wallet and the leased ones, the newest last; `every` adds those that ended and were swept."""
        live = {run.view.id: run for run in self._runs.all()}
        meant = [
            book
            for name, book in self._ledger.books.runs.items()
            if book.mandate.wallet is not None
            and (name in live or (book.ended is not None and (every or self.stranded.holds(book))))
        ]
        asking = _Asking(self._treasury.balance)
        found: dict[str, Any] = {"owner": self._treasury.owner, "balance": await asking.of(self._treasury.owner)}
        wallets: list[dict[str, Any]] = []
        for book in meant[-SHOWN_MAX:]:
            here = live.get(book.started.run)
            ended = STRANDED if self.stranded.holds(book) else ENDED
            wallets.append(await _shown(book, here.state if here is not None else ended, asking))
        return {**found, "wallets": wallets, "left_out": max(0, len(meant) - SHOWN_MAX), "problem": asking.problem}


def _moved(amount: Amount | None, reply: Reply | None) -> dict[str, Any]:
    """What came of a movement, in plain values; without a reply there was nothing to move."""
    if reply is None:
        return {"status": "nothing"}
    return {
        "status": str(reply.status),
        "amount": None if amount is None else encode_amount(amount),
        "decision": reply.decision_id,
        "code": reply.code,
        "message": reply.message,
        "transaction": (reply.result or {}).get("transaction_hash"),
    }


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
