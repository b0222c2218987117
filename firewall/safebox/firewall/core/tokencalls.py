"""Calls of tokens: which there are, and what each moves or lets others move.

EIP-20 with OpenZeppelin's two more, EIP-721, EIP-1155, EIP-2612, EIP-3009, and Uniswap's Permit2. Two standards share
the selectors of `approve` and `transferFrom`: a number there is an amount in the one and names a thing in the other,
and only who listed the token knows which.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from safebox.firewall.core.abi import Function, function
from safebox.firewall.core.leaves import Carrier, Kind, Leaf, Standard
from safebox.firewall.core.money import Amount, token_asset
from safebox.firewall.errors import CallerError

Values = Sequence[Any]


class TokenCall(msgspec.Struct, frozen=True):
    """One call that tokens have: its function, and the leaves that its values make."""

    function: Function
    read: Callable[[str, Standard | None, Values], list[Leaf]]

    def leaves(
        self, token: str, standard: Standard | None, values: Values, carriers: tuple[Carrier, ...]
    ) -> list[Leaf]:
        """What a call with these values does.

        Raises:
            CallerError: if it carries a payload, or its lists don't fit together.
        """
        return [
            msgspec.structs.replace(each, carriers=(*carriers, *each.carriers))
            for each in self.read(token, standard, values)
        ]


def _leaf(kind: Kind, method: str, standard: Standard, token: str, other: str, units: int | None, **more: Any) -> Leaf:
    amount = None if units is None else Amount(units, token_asset(token))
    return Leaf(kind=kind, method=method, standard=standard, contract=token, other=other, amount=amount, **more)


_move: Final = functools.partial(_leaf, "token_transfer")
_let: Final = functools.partial(_leaf, "token_approval")


def _no_payload(payload: bytes) -> None:
    if payload:
        raise CallerError("a payload for who gets the token is not accepted", code="call.payload")


def _transfer(token: str, _: Standard | None, values: Values) -> list[Leaf]:
    return [_move("transfer", "erc20", token, *values)]


def _transfer_from(token: str, standard: Standard | None, values: Values) -> list[Leaf]:
    owner, to, number = values
    if standard == "erc721":
        return [_move("transfer_from", "erc721", token, to, 1, owner=owner, token_id=str(number))]
    return [_move("transfer_from", "erc20", token, to, number, owner=owner)]


def _safe_thing(token: str, _: Standard | None, values: Values) -> list[Leaf]:
    owner, to, number, *payload = values
    _no_payload(b"".join(payload))
    return [_move("safe_transfer_from", "erc721", token, to, 1, owner=owner, token_id=str(number))]


def _safe_units(token: str, _: Standard | None, values: Values) -> list[Leaf]:
    owner, to, number, units, payload = values
    return _safe_batch(token, None, (owner, to, (number,), (units,), payload), "safe_transfer_from")


def _safe_batch(token: str, _: Standard | None, values: Values, method: str = "safe_batch_transfer_from") -> list[Leaf]:
    owner, to, numbers, units, payload = values
    _no_payload(payload)
    if not numbers or len(numbers) != len(units):
        raise CallerError("the lists of a batch are empty, or differ in length", code="call.batch")
    pairs = zip(numbers, units, strict=True)
    return [_move(method, "erc1155", token, to, each, owner=owner, token_id=str(number)) for number, each in pairs]


def _approve(token: str, standard: Standard | None, values: Values) -> list[Leaf]:
    other, number = values
    if standard == "erc721":
        return [_let("approve", "erc721", token, other, None, token_id=str(number))]
    return [_let("approve", "erc20", token, other, number)]


def _increase(token: str, _: Standard | None, values: Values) -> list[Leaf]:
    return [_let("increase_allowance", "erc20", token, *values)]


def _decrease(token: str, _: Standard | None, values: Values) -> list[Leaf]:
    return [_let("decrease_allowance", "erc20", token, *values)]


def _for_all(token: str, standard: Standard | None, values: Values) -> list[Leaf]:
    kind: Standard = "erc1155" if standard == "erc1155" else "erc721"
    return [_let("set_approval_for_all", kind, token, values[0], None, approved=values[1])]


def _permit(token: str, _: Standard | None, values: Values) -> list[Leaf]:
    owner, other, units = values[:3]
    return [_let("permit", "erc20", token, other, units, owner=owner)]


def _authorized(method: str) -> Callable[[str, Standard | None, Values], list[Leaf]]:
    def read(token: str, _: Standard | None, values: Values) -> list[Leaf]:
        owner, other, units = values[:3]
        return [_move(method, "erc20", token, other, units, owner=owner)]

    return read


_PERMIT2_APPROVE: Final = "approve(address,address,uint160,uint48)"
_PERMIT2_TRANSFER: Final = "transferFrom(address,address,uint160,address)"
_PERMIT2_BATCH: Final = "transferFrom((address,address,uint160,address)[])"


def _permit2_approve(permit2: str, _: Standard | None, values: Values) -> list[Leaf]:
    token, other, units, _expiration = values
    return [_let("permit2_approve", "erc20", token, other, units, carriers=(Carrier(permit2, _PERMIT2_APPROVE),))]


def _permit2_transfer(permit2: str, _: Standard | None, values: Values) -> list[Leaf]:
    several = len(values) == 1
    rows = values[0] if several else (values,)
    through = Carrier(permit2, _PERMIT2_BATCH if several else _PERMIT2_TRANSFER)
    if not rows:
        raise CallerError("a batch without a transfer in it", code="call.batch")
    return [
        _move("permit2_transfer_from", "erc20", token, to, units, owner=owner, carriers=(through,))
        for owner, to, units, token in rows
    ]


_VRS: Final = "uint8,bytes32,bytes32"
_AUTHORIZED: Final = "(address,address,uint256,uint256,uint256,bytes32,"
_READERS: Final[dict[str, Callable[[str, Standard | None, Values], list[Leaf]]]] = {
    "transfer(address,uint256)": _transfer,
    "transferFrom(address,address,uint256)": _transfer_from,
    "safeTransferFrom(address,address,uint256)": _safe_thing,
    "safeTransferFrom(address,address,uint256,bytes)": _safe_thing,
    "safeTransferFrom(address,address,uint256,uint256,bytes)": _safe_units,
    "safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)": _safe_batch,
    "approve(address,uint256)": _approve,
    "increaseAllowance(address,uint256)": _increase,
    "decreaseAllowance(address,uint256)": _decrease,
    "setApprovalForAll(address,bool)": _for_all,
    f"permit(address,address,uint256,uint256,{_VRS})": _permit,
    f"transferWithAuthorization{_AUTHORIZED}{_VRS})": _authorized("transfer_with_authorization"),
    f"transferWithAuthorization{_AUTHORIZED}bytes)": _authorized("transfer_with_authorization"),
    f"receiveWithAuthorization{_AUTHORIZED}{_VRS})": _authorized("receive_with_authorization"),
    f"receiveWithAuthorization{_AUTHORIZED}bytes)": _authorized("receive_with_authorization"),
    _PERMIT2_APPROVE: _permit2_approve,
    _PERMIT2_TRANSFER: _permit2_transfer,
    _PERMIT2_BATCH: _permit2_transfer,
}


@functools.cache
def token_calls() -> Mapping[bytes, TokenCall]:
    """Every call of tokens that is known, by its selector."""
    found = [TokenCall(function(signature), read) for signature, read in _READERS.items()]
    return {each.function.selector: each for each in found}
