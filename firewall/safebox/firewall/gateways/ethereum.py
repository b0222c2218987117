"""The ethereum gateway: JSON-RPC for a wallet whose key is elsewhere.

Rule 1: a method is in one of the tables below, by its exact name, or it doesn't exist.
Rule 2: what the firewall knows itself (chain, address) it answers itself.
Rule 3: reads go to the node, small and only for runs with a wallet; they change nothing.
Rule 4: `eth_sendTransaction` is a `wallet.transfer` like any other.

Refusals are JSON-RPC errors with HTTP status 200, which clients report like a node's own. Codes are those of EIP-1474:
-32601 no such method, -32602 parameters, -32000 not done, -32002 try again, -32003 rejected, -32005 wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

import msgspec

from safebox.firewall.core.action import Call
from safebox.firewall.core.reply import Reply, Status, could_not, invalid
from safebox.firewall.errors import CallerError, EffectError, FirewallError
from safebox.firewall.gateways.body import read_json
from safebox.firewall.gateways.exchange import (
    NOT_FOUND,
    WRONG_METHOD,
    Exchange,
    Header,
    http_status,
    retry_after,
    retry_header,
)
from safebox.firewall.gateways.limits import BATCH_MAX, ETHEREUM_BODY_MAX, READ_BYTES_MAX
from safebox.firewall.gateways.transaction import transfer_arguments
from safebox.firewall.metrics import Metrics
from safebox.firewall.ports import Desk, RunView

READS: Final = {
    "eth_blockNumber": 0,
    "eth_call": 2,
    "eth_estimateGas": 2,
    "eth_feeHistory": 3,
    "eth_gasPrice": 0,
    "eth_getBalance": 2,
    "eth_getBlockByHash": 2,
    "eth_getBlockByNumber": 2,
    "eth_getCode": 2,
    "eth_getLogs": 1,
    "eth_getStorageAt": 3,
    "eth_getTransactionByHash": 1,
    "eth_getTransactionCount": 2,
    "eth_getTransactionReceipt": 1,
    "eth_maxPriorityFeePerGas": 0,
    "eth_syncing": 0,
}
"""Passed on to the node, with at most so many parameters (a third one of `eth_call` would override state)."""
SEND: Final = "eth_sendTransaction"
CLIENT_VERSION: Final = "safebox/ethereum-gateway"

_PARSE_ERROR, _INVALID_REQUEST, _NO_METHOD, _BAD_PARAMS = -32700, -32600, -32601, -32602
_FAILED, _UNAVAILABLE, _REJECTED, _LIMIT = -32000, -32002, -32003, -32005
_CODES: Final = {
    Status.DENIED: _REJECTED,
    Status.HELD: _LIMIT,
    Status.LIMITED: _LIMIT,
    Status.INVALID: _BAD_PARAMS,
    Status.FAILED: _FAILED,
    Status.UNKNOWN: _FAILED,
    Status.UNAVAILABLE: _UNAVAILABLE,
}
_MEMBERS: Final = {"jsonrpc", "id", "method", "params"}


class ChainReader(Protocol):
    """Passes reads on to a node."""

    async def forward(self, payload: bytes) -> bytes:
        """One JSON-RPC request, byte for byte, and its answer.

        Raises:
            EffectError: if there is no usable answer.
        """
        ...


class _Answer(msgspec.Struct, frozen=True):
    """A node's answer; `result` and `error` are passed on as they were written."""

    id: int
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class EthereumGateway:
    """Speaks JSON-RPC, single and in batches."""

    name = "ethereum"
    body_max = ETHEREUM_BODY_MAX

    def __init__(self, desk: Desk, metrics: Metrics, chain: ChainReader | None) -> None:
        self._desk = desk
        self._metrics = metrics
        self._chain = chain

    async def serve(self, run: str, exchange: Exchange, body: bytes) -> None:
        """Answer one request of a run, which may be a batch; its elements are judged one after the other."""
        if exchange.path not in ("/", ""):
            await exchange.respond(*self.refusal(NOT_FOUND))
            return
        if exchange.method != "POST":
            await exchange.respond(*self.refusal(WRONG_METHOD))
            return
        asked = await read_json(body, exchange.gate, floats=True)
        view = self._desk.view(run)
        answer: Any
        if isinstance(asked, list):
            batch: list[Any] = asked  # pyright: ignore[reportUnknownVariableType]
            if not 0 < len(batch) <= BATCH_MAX:
                raise CallerError(f"a batch has 1 to {BATCH_MAX} requests")
            answer = [await self._one(view, one) for one in batch]
        else:
            answer = await self._one(view, asked)
        await exchange.respond(200, msgspec.json.encode(answer))

    async def _one(self, view: RunView, asked: Any) -> dict[str, Any]:
        try:
            number, method, params = _request(asked)
        except CallerError as error:
            return _answer(None, error=_told(_INVALID_REQUEST, invalid(error)))
        try:
            if method == SEND:
                return _answer(number, **await self._send(view, params))
            if method in READS:
                self._desk.view(view.id)  # a batch outlasts a stop, and a read leaves the machine
                return _answer(number, **await self._read(view, method, params))
            return _answer(number, **_own(view, method, params))
        except CallerError as error:
            return _answer(number, error=_told(_BAD_PARAMS, invalid(error)))
        except FirewallError as error:
            return _answer(number, error=_told(_UNAVAILABLE, could_not(error)))

    async def _send(self, view: RunView, params: list[Any]) -> dict[str, Any]:
        if len(params) != 1:
            raise CallerError(f"{SEND} takes one transaction")
        arguments = transfer_arguments(params[0], view)
        reply = await self._desk.handle(Call(run=view.id, tool="wallet.transfer", arguments=arguments))
        if reply.status is Status.DONE and reply.result is not None:
            return {"result": reply.result["transaction_hash"]}
        return {"error": _told(_CODES[reply.status], reply)}

    async def _read(self, view: RunView, method: str, params: list[Any]) -> dict[str, Any]:
        if self._chain is None or view.mandate.wallet is None:
            raise CallerError("this run has no wallet, so it has no chain", code="transfer.not_granted")
        request = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        if len(params) > READS[method] or len(request) > READ_BYTES_MAX:
            raise CallerError(f"{method} takes at most {READS[method]} parameters of {READ_BYTES_MAX} bytes in all")
        self._metrics.chain_read(method)
        try:
            return _node_answer(await self._chain.forward(request))
        except EffectError as error:
            self._metrics.failed(error)
            return {"error": _told(_UNAVAILABLE, could_not(error))}

    def refusal(self, reply: Reply) -> tuple[int, bytes, Sequence[Header]]:
        """Say that a whole HTTP request is refused."""
        code = _PARSE_ERROR if reply.status is Status.INVALID else _CODES[reply.status]
        document = _answer(None, error=_told(code, reply))
        return http_status(reply), msgspec.json.encode(document), retry_header(reply)


def _request(asked: Any) -> tuple[str | int, str, list[Any]]:
    """Take a request apart.

    Raises:
        CallerError: if it isn't exactly a JSON-RPC 2.0 request that wants an answer.
    """
    match asked:
        case {"jsonrpc": "2.0", "method": str(method), "id": str(number) | int(number)} if type(number) is not bool:
            members = cast("dict[str, Any]", asked)
            params = members.get("params", [])
            if members.keys() <= _MEMBERS and isinstance(params, list):
                return number, method, params  # pyright: ignore[reportUnknownVariableType]
        case _:
            pass
    raise CallerError("this is not a JSON-RPC 2.0 request with an id, a method and a list of params")


def _own(view: RunView, method: str, params: list[Any]) -> dict[str, Any]:
    """Answer what the firewall knows itself, and nothing else."""
    grant = view.mandate.wallet
    known: dict[str, Any] = {
        "eth_accounts": [view.address] if view.address else [],
        "web3_clientVersion": CLIENT_VERSION,
    }
    if grant is not None:
        known |= {"eth_chainId": hex(grant.chain_id), "net_version": str(grant.chain_id), "eth_coinbase": view.address}
    if method not in known:
        message = f"the method {method[:80]} does not exist/is not available"
        return {"error": {"code": _NO_METHOD, "message": message}}
    if params:
        raise CallerError(f"{method} takes no parameters")
    return {"result": known[method]}


def _node_answer(content: bytes) -> dict[str, Any]:
    """Take the node's answer over, if it is one.

    Raises:
        EffectError: if it is no JSON-RPC answer with either a result or an error.
    """
    try:
        answer = msgspec.json.decode(content, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EffectError("the node's answer is not JSON-RPC") from error
    if answer.error is not msgspec.UNSET and bytes(answer.error) != b"null":
        return {"error": answer.error}
    if answer.result is msgspec.UNSET:
        raise EffectError("the node's answer has neither result nor error")
    return {"result": answer.result}


def _answer(number: str | int | None, **outcome: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, **outcome}


def _told(code: int, reply: Reply) -> dict[str, Any]:
    """An error object; `data` says what the other gateways say."""
    data = {
        "code": reply.code,
        "reasons": reply.reasons,
        "decision_id": reply.decision_id,
        "retry_after": retry_after(reply),
    }
    return {"code": code, "message": f"{reply.code}: {reply.message}", "data": data}
