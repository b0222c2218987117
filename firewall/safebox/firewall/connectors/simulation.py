"""Asks a node what a transaction would do, before it is signed.

Three ways, the best that the node has: `eth_simulateV1` tells logs, movements of native money and, asked before and
after, the token balances themselves; `debug_traceCall` tells logs and native money; `eth_call` only whether it reverts.
What no way tells is unknown, never a yes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

from safebox.firewall.connectors.jsonrpc import ChainNode, NodeRefused, NodeUnavailable, data, quantity
from safebox.firewall.core.addresses import checksummed
from safebox.firewall.core.simulated import NATIVE, UNABLE, Log, Move, Simulated, moves

TOKENS_MAX: Final = 16
"""Tokens whose balances are asked before and after: as many as mandates list, and more calls than that cost time."""
REASON_MAX: Final = 200
DEPTH_MAX: Final = 64
FRAMES_MAX: Final = 2000
"""Calls of one trace that are read; a payment makes a handful."""
_NO_METHOD: Final = (-32601, -32004)
"""JSON-RPC's and EIP-1474's ways to say that a node has no such method."""
_BALANCE_OF: Final = "0x70a08231"
_OK: Final = 1


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """What would be sent; `data` in hexadecimal, `value` in wei. Without `gas`, the node takes what it likes."""

    sender: str
    to: str
    value: int
    data: str = "0x"
    gas: int | None = None

    def asked(self) -> dict[str, str]:
        """As JSON-RPC writes it."""
        fields = {"from": self.sender, "to": self.to, "value": hex(self.value), "data": self.data}
        return fields if self.gas is None else {**fields, "gas": hex(self.gas)}


async def simulate(node: ChainNode, transaction: Transaction, tokens: Sequence[str] = ()) -> Simulated:
    """Have a transaction simulated on the newest block, in the best way the node has.

    Args:
        node: is asked.
        transaction: what would be sent.
        tokens: whose balances of the sender are compared, too, where the node can.

    Raises:
        NodeUnavailable: The node did not answer, or with something nobody can read.
    """
    try:
        return await _best(node, transaction, tokens[:TOKENS_MAX])
    except (ValueError, RecursionError) as error:
        raise NodeUnavailable(f"the node's simulation can't be read: {error}") from error


async def _best(node: ChainNode, transaction: Transaction, tokens: Sequence[str]) -> Simulated:
    """A node that refuses a way for whatever reason is asked in the next one, which tells less."""
    with contextlib.suppress(NodeRefused):
        return await _simulate_v1(node, transaction, tokens)
    with contextlib.suppress(NodeRefused):
        return await _trace(node, transaction)
    try:
        await node.call("eth_call", transaction.asked(), "latest")
    except NodeRefused as error:
        return (
            UNABLE if error.code in _NO_METHOD else Simulated(by="call", reverts=True, reason=str(error)[:REASON_MAX])
        )
    return Simulated(by="call", reverts=False)


async def _simulate_v1(node: ChainNode, transaction: Transaction, tokens: Sequence[str]) -> Simulated:
    asks = [{"to": token, "data": _balance_of(transaction.sender)} for token in tokens]
    calls = [*asks, transaction.asked(), *asks]
    wanted = {"blockStateCalls": [{"calls": calls}], "traceTransfers": True, "validation": False}
    answer: Any = await node.call("eth_simulateV1", wanted, "latest")
    made = _list(_dict(_list(answer)[0]).get("calls")) if _list(answer) else []
    if len(made) != len(calls):
        raise NodeUnavailable("the node's simulation has not one answer for each call")
    done = _dict(made[len(asks)])
    if quantity(done.get("status")) != _OK:
        return Simulated(by="simulate_v1", reverts=True, reason=_reason(done.get("error")), found=())
    found = moves([_log(each) for each in _list(done.get("logs"))], transaction.sender)
    before, after = made[: len(asks)], made[len(asks) + 1 :]
    return Simulated(by="simulate_v1", reverts=False, found=tuple(found), drops=_drops(tokens, before, after))


def _drops(tokens: Sequence[str], before: Sequence[Any], after: Sequence[Any]) -> dict[str, int]:
    """How much each token says the wallet has less; one that doesn't say before or after says nothing."""
    found: dict[str, int] = {}
    for token, first, second in zip(tokens, map(_balance, before), map(_balance, after), strict=True):
        if first is not None:
            found[token] = max(0, first - (second or 0))
    return {token: drop for token, drop in found.items() if drop}


def _balance(answer: Any) -> int | None:
    fields = _dict(answer)
    returned = data(fields.get("returnData", "0x"))
    if quantity(fields.get("status")) != _OK or len(returned) != 32:  # noqa: PLR2004 (a word)
        return None
    return int.from_bytes(returned)


async def _trace(node: ChainNode, transaction: Transaction) -> Simulated:
    options = {"tracer": "callTracer", "tracerConfig": {"withLog": True}}
    frame = _dict(await node.call("debug_traceCall", transaction.asked(), "latest", options))
    if frame.get("error") is not None:
        reason = frame.get("revertReason") or frame["error"]
        return Simulated(by="trace", reverts=True, reason=str(reason)[:REASON_MAX], found=())
    logs: list[Log] = []
    native: list[Move] = []
    count = _walk(frame, transaction.sender, logs, native, 0)
    if count > FRAMES_MAX:
        raise ValueError(f"it has more than {FRAMES_MAX} calls")
    return Simulated(by="trace", reverts=False, found=(*native, *moves(logs, transaction.sender)))


def _walk(frame: dict[str, Any], wallet: str, logs: list[Log], native: list[Move], depth: int) -> int:
    """Collect what a call and the calls in it did; one that failed did nothing, nor did any in it."""
    if frame.get("error") is not None:
        return 1
    if depth > DEPTH_MAX:
        raise ValueError(f"its calls are more than {DEPTH_MAX} deep")
    logs += [_log(each) for each in _list(frame.get("logs") or [])]
    value = quantity(frame.get("value") or "0x0")
    if value and frame.get("type") not in ("DELEGATECALL", "CALLCODE") and _checksum(frame.get("from")) == wallet:
        native.append(Move(kind="native", contract=None, other=_checksum(frame.get("to")), units=value))
    return 1 + sum(_walk(_dict(each), wallet, logs, native, depth + 1) for each in _list(frame.get("calls") or []))


def _reason(error: Any) -> str:
    return str(_dict(error or {}).get("message", "it reverts"))[:REASON_MAX]


def _log(entry: object) -> Log:
    fields = _dict(entry)
    address = str(fields.get("address")).lower()
    topics = tuple(data(topic) for topic in _list(fields.get("topics")))
    return Log(address if address == NATIVE else _checksum(address), topics, data(fields.get("data") or "0x"))


def _balance_of(wallet: str) -> str:
    return _BALANCE_OF + wallet[2:].lower().rjust(64, "0")


def _checksum(value: object) -> str:
    return checksummed(data(value))


def _dict(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NodeUnavailable("the node's simulation can't be read: it has no object where one should be")
    return cast("dict[str, Any]", value)


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise NodeUnavailable("the node's simulation can't be read: it has no list where one should be")
    found: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
    return found
