"""What an agent asks and is told when it wants to know what a transfer would cost. Nothing is reserved, nothing signed.

Rule 1: what is told is the chain's and the agent's own: amount, fee, balance, and what the node says of the payee. No
        limit of the mandate goes into any number, so none can be read out of one.
Rule 2: what policy would say of the transfer is not asked, and so not told.
Rule 3: a quote's arguments are no transfer's, though they look alike: nothing that pays takes them.
Rule 4: what isn't known is null, never a yes. Texts of strangers are one short line without what can't be seen.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from safebox.firewall.core.arguments import AskTransfer, normalise_transfer
from safebox.firewall.core.money import Amount, format_units
from safebox.firewall.core.simulated import Simulated

SAID_MAX: Final = 200
"""Characters of a contract's or a node's words: a sentence, and too few for a letter to the model that reads it."""


class QuoteTransfer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The native transfer that is asked about, normalised as `arguments.Transfer`."""

    to: str
    amount: Amount
    gas: int | None
    max_fee_per_gas: Amount | None
    max_priority_fee_per_gas: Amount | None
    nonce: int | None


def normalise_quote(ask: AskTransfer) -> QuoteTransfer:
    """Read it as a transfer would be read. Raises as that does."""
    return QuoteTransfer(**msgspec.structs.asdict(normalise_transfer(ask)))


def told(
    asked: QuoteTransfer, *, balance: Amount, gas: int | None, total: Amount | None, tried: Simulated
) -> dict[str, Any]:
    """What the agent is answered.

    Args:
        asked: what it asked about.
        balance: what its wallet holds.
        gas: the gas that would be offered; None if nobody can say.
        total: the most that could be taken, fee included; None if nobody can say.
        tried: what became of it when it was tried.
    """
    fee = None if total is None else Amount(total.units - asked.amount.units, total.asset)
    return {
        "to": asked.to,
        **_both("amount", asked.amount),
        "gas": gas,
        **_both("fee", fee),
        **_both("total", total),
        **_both("balance", balance),
        "enough": _enough(asked.amount, balance, total),
        "reverts": tried.reverts,
        "revert_reason": one_line(tried.reason) if tried.reverts and tried.reason else None,
    }


def one_line(text: str) -> str:
    """The beginning of a text; what can't be seen, control characters among it, is a U+FFFD each."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text[:SAID_MAX])


def _enough(amount: Amount, balance: Amount, total: Amount | None) -> bool | None:
    if balance.units < amount.units:
        return False
    return None if total is None else balance.units >= total.units


def _both(name: str, amount: Amount | None) -> dict[str, str | None]:
    """Smallest units for programs, and words for people."""
    if amount is None:
        return {name: None, f"{name}_text": None}
    return {name: str(amount.units), f"{name}_text": format_units(amount.units, amount.asset)}
