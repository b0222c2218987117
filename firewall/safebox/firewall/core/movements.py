"""Movements between the owner and a run: native money or a token, and the one transaction that makes each.

Rule 1: a token moves by `transfer(address,uint256)` of its own contract, and by nothing else. No allowance is given
        and none is used, so nothing is left behind that somebody could use later.
Rule 2: how much of a token is always said. All there is can only be said of native money, which pays its own fee.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from safebox.firewall.core.abi import WORD, function, write_arguments
from safebox.firewall.core.money import Amount, decode_amount, token_of
from safebox.firewall.core.record import Decided

TOKEN_GAS_MAX: Final = 250_000
"""Five times what moving an ordinary token takes. One that takes more is not moved: its fee would be the owner's."""
GAS_MONEY_MAX: Final = 4 * TOKEN_GAS_MAX
"""Units of gas that the owner pays for at most to bring one token home: twice what it may take, at twice the fee."""
_TRANSFER: Final = "transfer(address,uint256)"
_BALANCE: Final = "balanceOf(address)"


class _Given(msgspec.Struct, frozen=True):
    amount: Amount | None


class _Movement(msgspec.Struct, frozen=True):
    args: _Given


class Sent(NamedTuple):
    """What a transaction that moves an amount says: whom it calls or pays, with how many wei, with which data."""

    to: str
    wei: int
    data: bytes


def sent(to: str, amount: Amount) -> Sent:
    """The one transaction that moves this amount to this address."""
    token = token_of(amount.asset)
    if token is None:
        return Sent(to, amount.units, b"")
    call = function(_TRANSFER)
    return Sent(token, 0, call.selector + write_arguments(call.types, (to, amount.units)))


def balance_data(address: str) -> str:
    """The data, in hexadecimal, that ask a token how much of it an address has."""
    call = function(_BALANCE)
    return "0x" + (call.selector + write_arguments(call.types, (address,))).hex()


def read_balance(told: bytes) -> int | None:
    """What a token answered; None if that is no number."""
    return int.from_bytes(told) if len(told) == WORD else None


def moved(decided: Decided) -> Amount | None:
    """How much a recorded movement was about; None is all there is."""
    return msgspec.json.decode(decided.action, type=_Movement, dec_hook=decode_amount).args.amount
