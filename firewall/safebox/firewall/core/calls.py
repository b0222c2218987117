"""A call of a contract as an action: what is asked, what it does leaf by leaf, and what the firewall knows of each.

How a contract's calls are to be read comes with the call, because it is part of what is decided: policy compares each
leaf's standard and signature with what the owner listed, so that another reading than the owner's is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec

from safebox.firewall.behaviour.lookalike import lookalike
from safebox.firewall.core.arguments import Outgoing, parse_address, parse_wei
from safebox.firewall.core.calldata import CALL_BYTES_MAX, read_call, registered
from safebox.firewall.core.leaves import Carrier, Leaf, Reading
from safebox.firewall.core.mandate import ContractGrant, Mandate, TokenGrant
from safebox.firewall.core.money import UNITS_MAX, Amount
from safebox.firewall.core.signature import Contracts, spender_facts, token_facts
from safebox.firewall.core.signing import Gas, Nonce
from safebox.firewall.errors import CallerError

READINGS_MAX: Final = 1_000
"""As many contracts as a mandate may list."""
_HEX: Final = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)
_PRECOMPILES: Final = 0xFFFF
"""Addresses up to here are precompiled contracts, now or later (EIP-1352); nobody has their keys."""
_DEAD: Final = "0x000000000000000000000000000000000000dEaD"
_LETTING_LESS: Final = frozenset({"decrease_allowance"})


class AskCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call as a gateway writes it: `data` in hexadecimal, and how `contracts` are to be read."""

    to: str
    data: Annotated[str, msgspec.Meta(max_length=2 + 2 * CALL_BYTES_MAX)]
    value: str = "0 wei"
    gas: Gas | None = None
    max_fee_per_gas: str | None = None
    max_priority_fee_per_gas: str | None = None
    nonce: Nonce | None = None
    contracts: Annotated[tuple[Reading, ...], msgspec.Meta(max_length=READINGS_MAX)] = ()


class CallContract(Outgoing, frozen=True, forbid_unknown_fields=True):
    """A call of a contract, normalised, with all that it does."""

    to: str
    value: Amount
    data: str
    gas: Gas | None
    max_fee_per_gas: Amount | None
    max_priority_fee_per_gas: Amount | None
    nonce: Nonce | None
    leaves: tuple[Leaf, ...]

    def content(self) -> bytes:
        """The data's bytes."""
        return bytes.fromhex(self.data[2:])

    def payload(self) -> bytes:
        """What leaves with it: everybody can read a chain."""
        return self.content()

    def payload_to(self) -> tuple[str, ...]:
        """The contract."""
        return (self.to,)


def normalise_call(ask: AskCall) -> CallContract:
    """Take the call apart.

    Raises:
        CallerError: if not every byte of it can be said; the code says why.
    """
    data = ask.data.lower()
    if _HEX.fullmatch(data) is None:
        raise CallerError("data are 0x and their bytes in hexadecimal")
    to, value = parse_address(ask.to), parse_wei(ask.value)
    readings = [msgspec.structs.replace(each, address=parse_address(each.address)) for each in ask.contracts]
    return CallContract(
        to=to,
        value=value,
        data=data,
        gas=ask.gas,
        max_fee_per_gas=None if ask.max_fee_per_gas is None else parse_wei(ask.max_fee_per_gas),
        max_priority_fee_per_gas=(
            None if ask.max_priority_fee_per_gas is None else parse_wei(ask.max_priority_fee_per_gas)
        ),
        nonce=ask.nonce,
        leaves=read_call(to, value.units, bytes.fromhex(data[2:]), registered(readings)),
    )


def readings(mandate: Mandate) -> tuple[Reading, ...]:
    """How the contracts that a mandate lists are to be read."""
    found = {token.address: Reading(token.address, _standard(token)) for token in mandate.tokens or ()}
    for contract in mandate.contracts or ():
        standard = found[contract.address].standard if contract.address in found else None
        found[contract.address] = Reading(contract.address, standard, contract.functions)
    return tuple(found.values())


def _standard(token: TokenGrant) -> Any:
    return token.standard


def read_again(args: CallContract) -> tuple[Leaf, ...]:
    """Read the data once more, by what was made of them: what is about to be signed against what was judged.

    Raises:
        CallerError: if they can't be read so.
    """
    functions: dict[str, dict[str, None]] = {}
    standards: dict[str, Any] = {}
    for leaf in args.leaves:
        if leaf.contract is not None:
            named = functions.setdefault(leaf.contract, {})
            if leaf.kind == "call":
                named[leaf.method] = None
            else:
                standards.setdefault(leaf.contract, leaf.standard)
    again = [Reading(each, standards.get(each), tuple(named)) for each, named in functions.items()]
    return read_call(args.to, args.value.units, args.content(), registered(again))


def moved(leaves: Iterable[Leaf]) -> list[Amount]:
    """What leaves the wallet at once, summed by asset."""
    sums = Counter[str]()
    for leaf in leaves:
        sums["ETH"] += leaf.value.units
        if leaf.kind == "token_transfer" and leaf.amount is not None:
            sums[leaf.amount.asset] += leaf.amount.units
    return _amounts(sums)


def let(leaves: Iterable[Leaf]) -> list[Amount]:
    """What others may take from then on, summed by token."""
    sums = Counter[str]()
    for leaf in leaves:
        if leaf.kind == "token_approval" and leaf.amount is not None and leaf.method not in _LETTING_LESS:
            sums[leaf.amount.asset] += leaf.amount.units
    return _amounts(sums)


def outflow(leaves: Iterable[Leaf]) -> list[Amount]:
    """Both together: what a call may cost at worst, without its fee."""
    all_of_them = tuple(leaves)
    sums = Counter[str]()
    for amount in (*moved(all_of_them), *let(all_of_them)):
        sums[amount.asset] += amount.units
    return _amounts(sums)


def _amounts(sums: Counter[str]) -> list[Amount]:
    return [Amount(min(units, UNITS_MAX), asset) for asset, units in sorted(sums.items()) if units]


def accounts_of(args: CallContract) -> list[str]:
    """The addresses of which has to be known whether they have code."""
    found = dict.fromkeys([args.to])
    for leaf in args.leaves:
        named = [leaf.contract, leaf.other, *(each.address for each in leaf.carriers)]
        found |= dict.fromkeys(each for each in named if each is not None)
    return list(found)


def call_facts(args: CallContract, mandate: Mandate, own: str | None, contracts: Contracts) -> dict[str, Any]:
    """`facts.call`: what the mandate and the chain say of each leaf, in the leaves' order, and the sums."""
    known = _known(mandate, own)
    return {
        "leaves": [_leaf(leaf, mandate, own, contracts, known) for leaf in args.leaves],
        "is_contract": contracts.get(args.to),
        "moved": moved(args.leaves),
        "let": let(args.leaves),
    }


def _known(mandate: Mandate, own: str | None) -> frozenset[str]:
    """Every address the owner named, and the run's own."""
    found = {own} if own is not None else set[str]()
    found.update(mandate.wallet.payees.values() if mandate.wallet is not None else ())
    for token in mandate.tokens or ():
        found |= {token.address, *(each.address for each in (*token.spenders, *token.payees))}
    return frozenset(found | {each.address for each in mandate.contracts or ()})


def _leaf(leaf: Leaf, mandate: Mandate, own: str | None, contracts: Contracts, known: frozenset[str]) -> dict[str, Any]:
    is_token = leaf.kind in ("token_transfer", "token_approval")
    return {
        "token": token_facts(leaf.contract or "", mandate, contracts) if is_token else None,
        "other": None if leaf.other is None else _other(leaf, leaf.other, mandate, own, contracts),
        "owner_self": leaf.owner is None or (own is not None and leaf.owner == own),
        "burns": leaf.other is not None and leaf.kind != "token_approval" and _burns(leaf.other, leaf.contract),
        "contract": _contract(leaf, mandate, contracts) if leaf.kind == "call" else None,
        "addresses_listed": set(leaf.addresses) <= known,
        "carriers": [_carrier(each, mandate) for each in leaf.carriers],
    }


def _other(leaf: Leaf, address: str, mandate: Mandate, own: str | None, contracts: Contracts) -> dict[str, Any]:
    if leaf.kind == "token_approval":
        return spender_facts(address, leaf.contract or "", mandate, own, contracts)
    payees = dict(mandate.wallet.payees) if mandate.wallet is not None else {}
    token = next((each for each in mandate.tokens or () if each.address == leaf.contract), None)
    mine = {each.name: each.address for each in token.payees} if token is not None else {}
    listed = payees if leaf.kind == "pay" else mine
    name = next((name for name, each in listed.items() if each == address), None)
    return {
        "address": address,
        "name": name,
        "listed": name is not None,
        "lookalike": None if name is not None else lookalike(address, {**payees, **mine}),
        "is_contract": contracts.get(address),
        "self": own is not None and address == own,
    }


def _burns(address: str, token: str | None) -> bool:
    return int(address, 16) <= _PRECOMPILES or address in (_DEAD, token)


def _granted(address: str, mandate: Mandate) -> ContractGrant | None:
    return next((each for each in mandate.contracts or () if each.address == address), None)


def _contract(leaf: Leaf, mandate: Mandate, contracts: Contracts) -> dict[str, Any]:
    address = leaf.contract or ""
    grant = _granted(address, mandate)
    return {
        "address": address,
        "name": None if grant is None else grant.name,
        "listed": grant is not None,
        "function_listed": grant is not None and leaf.method in grant.functions,
        "is_contract": contracts.get(address),
        "value": None if grant is None else grant.value,
    }


def _carrier(carrier: Carrier, mandate: Mandate) -> dict[str, Any]:
    grant = _granted(carrier.address, mandate)
    listed = grant is not None and carrier.method in grant.functions
    return {"address": carrier.address, "method": carrier.method, "listed": listed}
