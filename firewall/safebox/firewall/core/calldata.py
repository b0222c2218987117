"""What a call of a contract does, leaf by leaf: pays, moves or approves tokens, or calls a function somebody listed.

Rule 1: a known selector is read as what it is known for, whatever a list says; any other only along a listed signature.
Rule 2: a batch is taken apart until nothing in it is one; who carries it out stands in `carriers`.
Rule 3: what can't be read to the last byte is refused, and so is all that it is a part of.
Rule 4: the wei that go along are those of the leaves, no more and no less.

What a leaf says is what the call asks for. Whether a contract does as it is asked is for whoever listed it to know.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from safebox.firewall.core.abi import SELECTOR, Function, addresses_in, function, plain, read_arguments
from safebox.firewall.core.batches import Batch, Part, batches
from safebox.firewall.core.leaves import Argument, Carrier, Leaf, Reading, Registered
from safebox.firewall.core.money import Amount
from safebox.firewall.core.tokencalls import token_calls
from safebox.firewall.errors import CallerError

CALL_BYTES_MAX: Final = 16_384
"""Room for a batch of a hundred token transfers; policy reads the data whole and the ledger keeps them."""
DEPTH_MAX: Final = 4
"""A Safe that sends a batch of multicalls has three."""
LEAVES_MAX: Final = 32
"""Each is judged by itself, and looked up on the chain."""


def registered(readings: Iterable[Reading]) -> dict[str, Reading]:
    """Readings by address.

    Raises:
        CallerError: if a contract is there twice, or two of its functions are called by the same bytes.
    """
    found: dict[str, Reading] = {}
    for reading in readings:
        if reading.address in found:
            raise CallerError(f"{reading.address} is to be read in two ways")
        if len({function(each).selector for each in reading.functions}) != len(reading.functions):
            raise CallerError(f"two functions of {reading.address} have one selector")
        found[reading.address] = reading
    return found


def read_call(to: str, value: int, data: bytes, contracts: Registered) -> tuple[Leaf, ...]:
    """Take a call apart.

    Args:
        to: the checksummed address that is called.
        value: wei that go along.
        data: the call's data; none for a payment.
        contracts: how the calls of contracts are to be read that aren't of a token.

    Raises:
        CallerError: if not every byte of it can be said; the code says why.
    """
    if len(data) > CALL_BYTES_MAX:
        raise CallerError(f"the call has more than {CALL_BYTES_MAX} bytes of data", code="request.too_large")
    leaves = tuple(_read(Part(to, value, data), contracts, (), DEPTH_MAX))
    if len(leaves) > LEAVES_MAX:
        raise _too_many()
    return leaves


def selector_of(data: bytes) -> bytes:
    """The four bytes that name a function.

    Raises:
        CallerError: if there are fewer.
    """
    if len(data) < SELECTOR:
        raise CallerError("fewer than four bytes name no function", code="call.cut_short")
    return data[:SELECTOR]


def _too_many() -> CallerError:
    return CallerError(f"the call has more than {LEAVES_MAX} parts", code="call.too_many")


def _read(part: Part, contracts: Registered, carriers: tuple[Carrier, ...], left: int) -> list[Leaf]:
    value = _wei(part.value)
    if not part.data:
        return [Leaf(kind="pay", method="pay", other=part.to, value=value, carriers=carriers)]
    selector = selector_of(part.data)
    if (batch := batches().get(selector)) is not None:
        return _unroll(batch, part, contracts, carriers, left)
    reading = contracts.get(part.to, Reading(part.to))
    if (known := token_calls().get(selector)) is not None:
        if part.value:
            raise CallerError("a call of a token takes no ether along", code="call.value_unaccounted")
        values = read_arguments(known.function.types, part.data[SELECTOR:])
        return known.leaves(part.to, reading.standard, values, carriers)
    listed = next((each for each in map(function, reading.functions) if each.selector == selector), None)
    if listed is None:
        raise CallerError(f"no function 0x{selector.hex()} of {part.to} is known", code="call.unknown_function")
    return [_listed(listed, part, value, carriers)]


def _unroll(batch: Batch, part: Part, contracts: Registered, carriers: tuple[Carrier, ...], left: int) -> list[Leaf]:
    if not left:
        raise CallerError(f"calls are nested more than {DEPTH_MAX} deep", code="call.too_deep")
    values = read_arguments(batch.function.types, part.data[SELECTOR:])
    parts = batch.parts(part, values)
    if not parts:
        raise CallerError("a batch without a call in it", code="call.batch")
    if len(parts) > LEAVES_MAX:
        raise _too_many()
    inside = sum(each.value for each in parts)
    if part.value != inside and (part.value or not batch.own_funds):
        raise CallerError("the ether sent is not that of the calls in the batch", code="call.value_unaccounted")
    through = (*carriers, Carrier(part.to, batch.function.signature))
    leaves: list[Leaf] = []
    for each in parts:
        leaves += _read(each, contracts, through, left - 1)
        if len(leaves) > LEAVES_MAX:
            raise _too_many()
    return leaves


def _wei(units: int) -> Amount:
    try:
        return Amount(units, "ETH")
    except ValueError as error:
        raise CallerError("a number is beyond 256 bit") from error


def _listed(found: Function, part: Part, value: Amount, carriers: tuple[Carrier, ...]) -> Leaf:
    values = read_arguments(found.types, part.data[SELECTOR:])
    pairs = list(zip(found.types, values, strict=True))
    addresses = dict.fromkeys(address for kind, each in pairs for address in addresses_in(kind, each))
    return Leaf(
        kind="call",
        method=found.signature,
        contract=part.to,
        value=value,
        carriers=carriers,
        arguments=tuple(Argument(kind.name, _said(plain(kind, each))) for kind, each in pairs),
        addresses=tuple(addresses),
    )


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=True)
