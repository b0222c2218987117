"""Tokens of runs: lent at the start, noticed when they come in, taken home above their ceiling and at the end.

Rule 1: only tokens of the mandate are touched or counted. What else arrives (an airdrop, a poisoned token) stays where
        it is, for ever: who calls a stranger's program has already done what the stranger wanted.
Rule 2: a token comes home before the native money, which pays the fee, and whatever it does doesn't keep that here.
Rule 3: what a token says of itself moves nothing but that token, and costs no more than a bounded fee.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

from safebox.firewall.core.mandate import ACCOUNT_WALLET, TokenGrant
from safebox.firewall.core.money import UNITS_MAX, Amount, format_token
from safebox.firewall.core.reply import Reply, Status, could_not, invalid
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.errors import CallerError, FactsUnavailable, FirewallError
from safebox.firewall.metrics import Metrics
from safebox.firewall.runs import Run

_LOG = logging.getLogger(__name__)

MOVES: Final = frozenset(tool.name for tool in TOOLS.values() if tool.connector == "chain" and not tool.reads_only)
"""What changes a wallet's balance."""
PAUSE_SECONDS: Final = 60.0
"""Between two sweeps of one token above its ceiling: dust that somebody sends costs a fee a minute at most."""

Movement = Callable[[Run, str, str, Amount | None], Awaitable[Reply]]
Note = Callable[[str, Amount], Awaitable[None]]


class Holdings(Protocol):
    """What the chain says of wallets; all raise `FactsUnavailable` if it can't be asked."""

    async def settled(self, address: str) -> int:
        """Wei that are final."""
        ...

    async def token(self, token: str, address: str, *, settled: bool = False) -> int | None:
        """Units of a token; None if the token doesn't say."""
        ...

    async def gas_money(self, address: str, to: str, amount: Amount) -> int:
        """Wei that are missing to move a token. Raises `CallerError` if it doesn't move."""
        ...


class Loans:
    """Moves tokens between the owner and runs.

    Args:
        chain: says who holds what.
        owner: the owner's address.
        move: has a movement judged and made.
        note: records income.
        metrics: counts sweeps and failures.
        now: seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        chain: Holdings,
        owner: str,
        move: Movement,
        note: Note,
        metrics: Metrics,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chain = chain
        self._owner = owner
        self._move = move
        self._note = note
        self._metrics = metrics
        self._now = now
        self._rests: dict[tuple[str, str], float] = {}

    async def fund(self, run: Run) -> list[str]:
        """Lend a run its tokens, as far as the owner has them; what was not lent is said."""
        said = [await self._fund(run, token) for token in lendable(run)]
        return [each for each in said if each]

    async def _fund(self, run: Run, token: TokenGrant) -> str:
        wanted = format_token(token.budget, name=token.name, decimals=token.decimals)
        try:
            has = await self._chain.token(token.address, self._owner)
        except FirewallError as error:
            self._metrics.failed(error)
            return f"{wanted} could not be lent: {error.cause}"
        if not has:
            return f"{wanted} could not be lent: the owner has none" if has == 0 else f"{token.name} is no token here"
        given = Amount(min(has, token.budget.units), token.budget.asset)
        reply = await self._move(run, "wallet.fund", str(run.view.address), given)
        if reply.status is not Status.DONE:
            return f"{wanted} could not be lent: {reply.message}"
        if given == token.budget:
            return ""
        return f"of {wanted} only {format_token(given, name=token.name, decimals=token.decimals)} could be lent"

    async def check(self, run: Run) -> bool:
        """Note what came in, and take home what is above a ceiling; whether something was above one."""
        return any([await self._check(run, token) for token in lendable(run)])

    async def note(self, run: Run) -> None:
        """Note what came in."""
        for token in lendable(run):
            await self._noted(run, token)

    async def _check(self, run: Run, token: TokenGrant) -> bool:
        held = await self._noted(run, token)
        if held is None or token.ceiling is None or held <= token.ceiling.units:
            return False
        place = run.view.id, token.address
        if self._now() < self._rests.get(place, 0.0):
            return True
        self._rests[place] = self._now() + PAUSE_SECONDS
        line = run.book.lines[ACCOUNT_WALLET, token.budget.asset]
        keep = min(run.book.unspent(ACCOUNT_WALLET, token.budget.asset) + line.exposed, token.ceiling.units)
        reply = await self._move(run, "wallet.sweep", self._owner, Amount(held - keep, token.budget.asset))
        if reply.status is Status.DONE:
            self._metrics.swept()
        return True

    async def _noted(self, run: Run, token: TokenGrant) -> int | None:
        """What a run holds, after what came in was noted; None if nobody can say."""
        address, expected = str(run.view.address), _expected(run, token)
        try:
            held = await self._chain.token(token.address, address)
            if held is not None and expected is not None and held > expected:
                await self._note_income(run, token, held, expected)
        except FirewallError as error:
            self._metrics.failed(error)
            return None
        return held

    async def _note_income(self, run: Run, token: TokenGrant, held: int, expected: int) -> None:
        final = await self._chain.token(token.address, str(run.view.address), settled=True)
        sure = min(held, final or 0)
        if expected == _expected(run, token) and sure > expected >= 0:
            if sure > UNITS_MAX - run.book.earned.get(token.budget.asset, 0):
                raise FactsUnavailable(f"{token.name} names an impossible balance")
            await self._note(run.view.id, Amount(sure - expected, token.budget.asset))

    async def sweep(self, run: Run) -> list[Reply]:
        """Take home all tokens of a run; a reply for each that was there. Never raises for what one of them does."""
        found = [await self._sweep(run, token) for token in lendable(run)]
        return [each for each in found if each is not None]

    async def _sweep(self, run: Run, token: TokenGrant) -> Reply | None:
        try:
            held = await self._chain.token(token.address, str(run.view.address))
            if not held:
                return None
            amount = Amount(held, token.budget.asset)
            if run.why is not None:  # nobody else spends what is given for gas now
                await self._give_gas(run, amount)
            reply = await self._move(run, "wallet.sweep", self._owner, amount)
        except CallerError as error:
            reply = invalid(error)
        except FirewallError as error:
            self._metrics.failed(error)
            reply = could_not(error)
        if reply.status is not Status.DONE:
            _LOG.warning("%s of %s did not come home: %s", token.name, run.view.id, reply.message)
        return reply

    async def _give_gas(self, run: Run, amount: Amount) -> None:
        """Pay for a token's way home where the run has spent all it had; the rest comes back with the money."""
        address = str(run.view.address)
        lacks = await self._chain.gas_money(address, self._owner, amount)
        if lacks:
            await self._move(run, "wallet.fund", address, Amount(lacks, "ETH"))


def lendable(run: Run) -> Iterable[TokenGrant]:
    """The tokens of a run's mandate that come in amounts. Nobody lends or sweeps things that are one of a kind."""
    if run.view.address is None or run.view.mandate.wallet is None:
        return []
    return [each for each in run.view.mandate.tokens or () if each.standard == "erc20"]


def _expected(run: Run, token: TokenGrant) -> int | None:
    """What the wallet holds at most if nobody paid into it; None while something moves and nobody can say."""
    if any(event.tool in MOVES for event in run.book.open.values()):
        return None
    return run.book.holding(ACCOUNT_WALLET, token.budget.asset)
