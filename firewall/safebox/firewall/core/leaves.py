"""What a transaction does, one leaf for each thing, and how the calls of a contract are to be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from safebox.firewall.core.money import Amount

Standard = Literal["erc20", "erc721", "erc1155"]
Kind = Literal["pay", "token_transfer", "token_approval", "call"]


class Reading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the calls of one contract are to be read: by which token standard, and which functions it has besides."""

    address: str
    standard: Standard | None = None
    functions: tuple[str, ...] = ()


Registered = Mapping[str, Reading]


class Argument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One argument: a text, numbers in decimal, bytes in hexadecimal; lists and truth values as JSON."""

    type: str
    value: str


class Carrier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A contract that carries out what is in a batch, and the signature of the function by which it does."""

    address: str
    method: str


class Leaf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that a transaction does.

    Attributes:
        contract: the token or the contract called; None for a payment.
        other: who is paid, gets the token, or may take it.
        method: `pay`, the name of a token's call, or the whole signature of a listed function.
        amount: of the token; 1 for a thing that is one of a kind.
        value: the wei that go along.
        owner: whose tokens they are, where the call says it.
        carriers: who carries it out, the outermost first.
        addresses: all that are in the arguments of a listed function.
    """

    kind: Kind
    method: str
    contract: str | None = None
    other: str | None = None
    standard: Standard | None = None
    amount: Amount | None = None
    token_id: str | None = None
    approved: bool | None = None
    value: Amount = Amount(0, "ETH")
    owner: str | None = None
    carriers: tuple[Carrier, ...] = ()
    arguments: tuple[Argument, ...] = ()
    addresses: tuple[str, ...] = ()

    @property
    def units(self) -> int | None:
        """The amount in smallest units."""
        return None if self.amount is None else self.amount.units

    @property
    def via(self) -> tuple[str, ...]:
        """Who asks the contract in the wallet's place, the outermost first. What calls itself stays the wallet's."""
        return tuple(each.address for each in self.carriers if not each.method.startswith("multicall("))
