"""What moves value, or lets others take it, to the detectors: payments, approvals, calls of contracts, signatures.

A call or a signature may do several things at once. It is told as one deed: its sums, and the largest of its payees.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from safebox.firewall.behaviour.conduct import Deed
from safebox.firewall.behaviour.links import FUND, KEY, amount_handle
from safebox.firewall.core.arguments import Transfer
from safebox.firewall.core.calls import CallContract, outflow
from safebox.firewall.core.leaves import Leaf
from safebox.firewall.core.mandate import Mandate
from safebox.firewall.core.money import Amount
from safebox.firewall.core.signature import taken_in_all
from safebox.firewall.core.signing import Approve, SignMessage, SignTypedData
from safebox.firewall.core.typed_data import Handed, Taking, read_handed
from safebox.firewall.core.x402 import PayRequest

Deal = Transfer | Approve | CallContract | SignTypedData | SignMessage | PayRequest
Related = Callable[[str], bool]
"""Whether a name has to do with the purpose."""

_SIGN_IN: Final = re.compile(r"([a-z0-9.:-]{1,253}) wants you to sign in", re.ASCII)
_APPROVAL: Final = ("approval",)


def value_deed(args: Deal, mandate: Mandate, related: Related) -> Deed:
    """What such an action is."""
    match args:
        case Transfer():
            return _payment(args.to, args.amount, _payees(mandate, None), related)
        case PayRequest():
            return _payment(args.payee, args.amount, _payees(mandate, args.token), related)
        case Approve():
            return _approval(args, mandate)
        case CallContract():
            return _call(args, mandate, related)
        case SignTypedData():
            data = args.parsed()
            return _signature(read_handed(data.types, data.primary_type, data.domain, data.message), mandate)
        case SignMessage():
            return _sign_in(args)


def _payment(to: str, amount: Amount, payees: Mapping[str, str], related: Related) -> Deed:
    name = payees.get(to)
    return Deed(
        links=(FUND,) if name is None else (),
        handles=(_handle(to), *amount_handle(amount.asset, amount.units)),
        amount=amount,
        to=to.lower(),
        strangers=(to.lower(),) if name is None else (),
        related=name is not None and related(name),
    )


def _approval(args: Approve, mandate: Mandate) -> Deed:
    if args.approved is False or args.method == "decrease_allowance" or (args.amount and not args.amount.units):
        return Deed()
    links = () if args.spender in _spenders(mandate) else (FUND,)
    to = args.spender.lower()
    return Deed(links=links, handles=(_handle(to),), amount=args.amount, to=to, collects=_APPROVAL)


def _call(args: CallContract, mandate: Mandate, related: Related) -> Deed:
    lets = [leaf for leaf in args.leaves if leaf.kind == "token_approval" and _lets(leaf)]
    names = {leaf: _name(leaf, mandate) for leaf in args.leaves if leaf not in lets}
    strange = [_got_by(leaf) for leaf, name in names.items() if name is None]
    strange += [_got_by(leaf) for leaf in lets if leaf.other not in _spenders(mandate)]
    amount = _main(outflow(args.leaves), mandate)
    named = [address for leaf in args.leaves for address in (_got_by(leaf), *leaf.addresses)]
    amounts = () if amount is None else amount_handle(amount.asset, amount.units)
    return Deed(
        links=(FUND,) if strange else (),
        handles=(_handle(args.to), *map(_handle, named), *amounts),
        amount=amount,
        to=None if amount is None else _largest(args.leaves, amount.asset, args.to).lower(),
        strangers=tuple(dict.fromkeys(address.lower() for address in strange)),
        collects=_APPROVAL if lets else (),
        related=any(name is not None and related(name) for name in names.values()) or not names,
    )


def _signature(handed: Handed, mandate: Mandate) -> Deed:
    """Typed data: what it lets others take counts as if it were taken. Policy denies what can't be read."""
    if not handed.takings:
        return Deed()
    amount = _main(taken_in_all(handed), mandate)
    unknown = [each.taker for each in handed.takings if not _may_take(each, mandate)]
    return Deed(
        links=(FUND,) if unknown else (),
        handles=tuple(_handle(each.taker) for each in handed.takings),
        amount=amount,
        to=max(handed.takings, key=lambda each: each.units).taker.lower(),
        strangers=tuple(dict.fromkeys(each.lower() for each in unknown)),
        collects=_APPROVAL,
    )


def _sign_in(args: SignMessage) -> Deed:
    found = _SIGN_IN.search(args.text or "")
    if found is None:
        return Deed()
    return Deed(links=(KEY,), handles=(f"host:{found[1].partition(':')[0]}",), collects=("account",))


def _main(amounts: Iterable[Amount], mandate: Mandate) -> Amount | None:
    """The amount by which such a deed is remembered: of the wallet's own asset if it moves any."""
    found = {each.asset: each for each in amounts}
    own = None if mandate.wallet is None else mandate.wallet.budget.asset
    return found.get(own or "", next(iter(found.values()), None))


def _largest(leaves: Iterable[Leaf], asset: str, carrier: str) -> str:
    """Who gets most of it."""
    sums = Counter[str]()
    for leaf in leaves:
        for amount in (leaf.value, leaf.amount):
            if amount is not None and amount.asset == asset:
                sums[_got_by(leaf)] += amount.units
    return max(sums, key=lambda address: sums[address], default=carrier)


def _lets(leaf: Leaf) -> bool:
    return leaf.approved is not False and leaf.units != 0 and leaf.method != "decrease_allowance"


def _got_by(leaf: Leaf) -> str:
    """Who has something from a leaf: the payee or spender, else the contract."""
    return leaf.other or leaf.contract or ""


def _name(leaf: Leaf, mandate: Mandate) -> str | None:
    """What the owner calls whom a leaf turns to; None if nobody listed that."""
    if leaf.kind == "call":
        return next((each.name for each in mandate.contracts or () if each.address == leaf.contract), None)
    if leaf.kind == "token_approval":
        return next((each.name for each in mandate.tokens or () if each.address == leaf.contract), None)
    return _payees(mandate, leaf.contract).get(_got_by(leaf))


def _payees(mandate: Mandate, token: str | None) -> dict[str, str]:
    """Whom the owner lists for ether, or for a token, by address."""
    if token is None:
        return {} if mandate.wallet is None else {address: name for name, address in mandate.wallet.payees.items()}
    found = next((each for each in mandate.tokens or () if each.address == token), None)
    return {} if found is None else {each.address: each.name for each in found.payees}


def _spenders(mandate: Mandate) -> set[str]:
    return {one.address for token in mandate.tokens or () for one in token.spenders}


def _may_take(taking: Taking, mandate: Mandate) -> bool:
    return taking.taker in _spenders(mandate) or taking.taker in _payees(mandate, taking.token)


def _handle(address: str) -> str:
    return f"address:{address.lower()}"
