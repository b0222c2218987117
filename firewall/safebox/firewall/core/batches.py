"""Calls that are made of calls, as they are in common use, and how each is taken apart.

A batch that would run other code as its own (delegatecall) is refused: what that does no one can say beforehand.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from safebox.firewall.core.abi import WORD, Function, function, read_arguments
from safebox.firewall.core.addresses import ADDRESS_BYTES, checksummed
from safebox.firewall.errors import CallerError

_CALL: Final = 0
"""Safe's and MultiSend's `operation`; 1 is a delegatecall, ERC-6551 has 2 and 3 for creations."""
_MODE_SINGLE, _MODE_BATCH, _MODE_DELEGATE = 0x00, 0x01, 0xFF
_MODE_TRY: Final = 0x01
"""ERC-7579: the first byte of a mode is the kind of call, the second what a failure does."""
_EXECUTIONS: Final = function("f((address,uint256,bytes)[])").types


class Part(NamedTuple):
    """One call in a batch."""

    to: str
    value: int
    data: bytes


class Batch(msgspec.Struct, frozen=True):
    """One way to batch. With `own_funds` the contract may pay out of what it holds already."""

    function: Function
    parts: Callable[[Part, Sequence[Any]], list[Part]]
    own_funds: bool = False


@functools.cache
def batches() -> Mapping[bytes, Batch]:
    """Every batch that is known, by its selector."""
    found = [Batch(function(each), _own) for each in ("multicall(bytes[])", "multicall(uint256,bytes[])")]
    found += [Batch(function(each), _calls) for each in _AGGREGATES]
    found.append(Batch(function("multiSend(bytes)"), lambda _, values: _packed(values[0])))
    found += [Batch(function(each), parts, own_funds=True) for each, parts in _EXECUTES.items()]
    return {each.function.selector: each for each in found}


def _own(part: Part, values: Sequence[Any]) -> list[Part]:
    return [Part(part.to, 0, data) for data in values[-1]]


_AGGREGATES: Final = (
    "aggregate((address,bytes)[])",
    "blockAndAggregate((address,bytes)[])",
    "tryAggregate(bool,(address,bytes)[])",
    "tryBlockAndAggregate(bool,(address,bytes)[])",
    "aggregate3((address,bool,bytes)[])",
    "aggregate3Value((address,bool,uint256,bytes)[])",
)
"""Multicall, Multicall2 and Multicall3. That a call may fail makes nothing of it better or worse."""
_VALUED: Final = 4


def _calls(_: Part, values: Sequence[Any]) -> list[Part]:
    return [Part(each[0], each[2] if len(each) == _VALUED else 0, each[-1]) for each in values[-1]]


def _delegates() -> CallerError:
    return CallerError("code of others would run as the contract's own (delegatecall)", code="call.delegatecall")


def _check_operation(operation: int) -> None:
    if operation == 1:
        raise _delegates()
    if operation != _CALL:
        raise CallerError(f"operation {operation} is no call", code="call.batch")


def _packed(content: bytes) -> list[Part]:
    """MultiSend's own packing: operation, target, value and length without padding, then the data."""
    found: list[Part] = []
    at, fixed = 0, 1 + ADDRESS_BYTES + 2 * WORD
    while at < len(content):
        head, at = content[at : at + fixed], at + fixed
        length = int.from_bytes(head[-WORD:])
        if len(head) < fixed or at + length > len(content):
            raise CallerError("a packed batch ends inside a call", code="call.cut_short")
        _check_operation(head[0])
        found.append(Part(*_target(head[1:-WORD]), content[at : at + length]))
        at += length
    return found


def _target(content: bytes) -> tuple[str, int]:
    return checksummed(content[:ADDRESS_BYTES]), int.from_bytes(content[ADDRESS_BYTES : ADDRESS_BYTES + WORD])


def _one(_: Part, values: Sequence[Any]) -> list[Part]:
    if len(values) > len(Part._fields):
        _check_operation(values[3])
    return [Part(values[0], values[1], values[2])]


def _lists(_: Part, values: Sequence[Any]) -> list[Part]:
    targets, data = values[0], values[-1]
    amounts = values[1] if len(values) == len(Part._fields) else (0,) * len(targets)
    if not len(targets) == len(amounts) == len(data):
        raise CallerError("the lists of a batch differ in length", code="call.batch")
    return [Part(*each) for each in zip(targets, amounts, data, strict=True)]


def _modular(_: Part, values: Sequence[Any]) -> list[Part]:
    """ERC-7579: one packed call or an encoded list of calls, as the mode says."""
    mode, content = values
    if mode[0] == _MODE_DELEGATE:
        raise _delegates()
    if mode[0] not in (_MODE_SINGLE, _MODE_BATCH) or mode[1] > _MODE_TRY or any(mode[2:]):
        raise CallerError("this mode of execution is not known", code="call.batch")
    if mode[0] == _MODE_BATCH:
        return [Part(*each) for each in read_arguments(_EXECUTIONS, content)[0]]
    if len(content) < ADDRESS_BYTES + WORD:
        raise CallerError("a packed call ends before its value", code="call.cut_short")
    return [Part(*_target(content), content[ADDRESS_BYTES + WORD :])]


def _safe(part: Part, values: Sequence[Any]) -> list[Part]:
    """A Safe's transaction; it must refund nobody: that is a payment whose amount nobody says."""
    _, _, _, _, _, _, gas_price, _, _, _ = values
    if gas_price:
        raise CallerError("a Safe's transaction may not refund its gas", code="call.batch")
    return _one(part, values)


_EXECUTES: Final[dict[str, Callable[[Part, Sequence[Any]], list[Part]]]] = {
    "execute(address,uint256,bytes)": _one,
    "execute(address,uint256,bytes,uint8)": _one,
    "execute(bytes32,bytes)": _modular,
    "executeBatch(address[],bytes[])": _lists,
    "executeBatch(address[],uint256[],bytes[])": _lists,
    "executeBatch((address,uint256,bytes)[])": lambda _, values: [Part(*each) for each in values[0]],
    "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)": _safe,
}
"""Accounts that are contracts: ERC-4337's SimpleAccount and its kin, ERC-6551, ERC-7579, Safe."""
