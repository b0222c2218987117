"""The Ethereum JSON-RPC methods of the stand-in chain: parameters in, answers out, no I/O."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeAlias, cast

from eth.abc import BlockHeaderAPI

from safebox.firewall.standins import evm
from safebox.firewall.standins.chain_json import (
    encode_rlp,
    header_json,
    hex_data,
    logs_json,
    receipt_json,
    transaction_json,
)
from safebox.firewall.standins.evm import Call, DevChain, ExecutionError, Ran, TransactionRefusedError

Json: TypeAlias = Any
CLIENT_VERSION = "safebox-dev-chain (stand-in, py-evm)/v0.1.0/python"
TIP = 10**9
"""What this chain suggests as priority fee: 1 gwei, in wei."""
LOG_BLOCKS_MAX = 10_000
FEE_HISTORY_MAX = 1024
INVALID_PARAMS, SERVER_ERROR, REVERTED, UNKNOWN_METHOD = -32602, -32000, 3, -32601
VM_ERROR = -32015
"""What the execution APIs' `eth_simulateV1` says of a call that fails without a revert."""
SIMULATED_MAX = 64
_TAGS = ("latest", "pending", "safe", "finalized")


class RpcError(Exception):
    """A JSON-RPC error answer."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class ChainMethods:
    """Answers single calls; `accept` mines a raw transaction and makes it durable."""

    def __init__(self, chain: DevChain, accept: Callable[[bytes], bytes]) -> None:
        self._chain = chain
        self._accept = accept
        self._methods: dict[str, Callable[[list[Json]], Json]] = {
            "web3_clientVersion": lambda _: CLIENT_VERSION,
            "net_version": lambda _: str(evm.CHAIN_ID),
            "net_listening": lambda _: True,
            "eth_chainId": lambda _: hex(evm.CHAIN_ID),
            "eth_syncing": lambda _: False,
            "eth_accounts": lambda _: [],
            "eth_blockNumber": lambda _: hex(chain.head.block_number),
            "eth_gasPrice": lambda _: hex(chain.next_base_fee + TIP),
            "eth_maxPriorityFeePerGas": lambda _: hex(TIP),
            "eth_feeHistory": self._fee_history,
            "eth_getBalance": self._balance,
            "eth_getTransactionCount": self._nonce,
            "eth_getCode": self._code,
            "eth_getStorageAt": self._storage,
            "eth_call": self._call,
            "eth_estimateGas": self._estimate,
            "eth_simulateV1": self._simulate,
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getTransactionByHash": self._transaction,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getLogs": self._logs,
            "eth_sendRawTransaction": self._send,
        }

    def answer(self, method: str, params: list[Json]) -> Json:
        """Answer one call.

        Raises:
            RpcError: With the code and the words geth uses.
        """
        handler = self._methods.get(method)
        if handler is None:
            raise RpcError(UNKNOWN_METHOD, f"the method {method} does not exist/is not available")
        try:
            return handler(params)
        except TransactionRefusedError as error:
            raise RpcError(SERVER_ERROR, str(error)) from error
        except ExecutionError as error:
            if error.data is None:
                raise RpcError(SERVER_ERROR, str(error)) from error
            raise RpcError(REVERTED, str(error), hex_data(error.data)) from error

    def _send(self, params: list[Json]) -> Json:
        return hex_data(self._accept(_data(params, 0)))

    def _balance(self, params: list[Json]) -> Json:
        return hex(self._chain.state(self._at(params, 1)).get_balance(cast("Any", _address(params, 0))))

    def _nonce(self, params: list[Json]) -> Json:
        return hex(self._chain.state(self._at(params, 1)).get_nonce(cast("Any", _address(params, 0))))

    def _code(self, params: list[Json]) -> Json:
        return hex_data(self._chain.state(self._at(params, 1)).get_code(cast("Any", _address(params, 0))))

    def _storage(self, params: list[Json]) -> Json:
        slot = _number(params, 1)
        value = self._chain.state(self._at(params, 2)).get_storage(cast("Any", _address(params, 0)), slot)
        return hex_data(value.to_bytes(32))

    def _call(self, params: list[Json]) -> Json:
        return hex_data(self._chain.call(_call(params), self._at(params, 1)))

    def _estimate(self, params: list[Json]) -> Json:
        return hex(self._chain.estimate(_call(params), self._at(params, 1)))

    def _simulate(self, params: list[Json]) -> Json:
        """One block of calls, without overrides: what a wallet asks before it signs."""
        asked = _object(params, 0)
        blocks = _list([asked.get("blockStateCalls")], 0)
        if len(blocks) != 1 or set(_object(blocks, 0)) != {"calls"} or asked.get("validation") is True:
            raise RpcError(INVALID_PARAMS, "this chain simulates one block of calls, without overrides and validation")
        calls = [_call([each]) for each in _list([_object(blocks, 0)["calls"]], 0)]
        if len(calls) > SIMULATED_MAX:
            raise RpcError(INVALID_PARAMS, f"more than {SIMULATED_MAX} calls")
        header = self._at(params, 1)
        ran = self._chain.simulate(calls, header, native=asked.get("traceTransfers") is True)
        return [{"number": hex(header.block_number + 1), "calls": [_ran_json(each) for each in ran]}]

    def _block_by_number(self, params: list[Json]) -> Json:
        header = self._header(_param(params, 0))
        return None if header is None else self._block(header, full=_flag(params, 1))

    def _block_by_hash(self, params: list[Json]) -> Json:
        header = self._by_hash(_data(params, 0))
        return None if header is None else self._block(header, full=_flag(params, 1))

    def _transaction(self, params: list[Json]) -> Json:
        mined = self._chain.find(_data(params, 0))
        return None if mined is None else transaction_json(mined)

    def _receipt(self, params: list[Json]) -> Json:
        mined = self._chain.find(_data(params, 0))
        return None if mined is None else receipt_json(mined)

    def _logs(self, params: list[Json]) -> Json:
        wanted = _object(params, 0)
        if "blockHash" in wanted:
            header = self._by_hash(_data([wanted["blockHash"]], 0))
            if header is None:
                raise RpcError(SERVER_ERROR, "unknown block")
            numbers = range(header.block_number, header.block_number + 1)
        else:
            first, last = (self._at([wanted.get(key)], 0).block_number for key in ("fromBlock", "toBlock"))
            numbers = range(first, last + 1)
        if len(numbers) > LOG_BLOCKS_MAX:
            raise RpcError(INVALID_PARAMS, f"block range is longer than {LOG_BLOCKS_MAX}")
        logs = (log for number in numbers for mined in self._chain.mined(number) for log in logs_json(mined))
        return [log for log in logs if _matches(log, wanted)]

    def _fee_history(self, params: list[Json]) -> Json:
        count = min(_number(params, 0), FEE_HISTORY_MAX)
        newest = self._at(params, 1).block_number
        percentiles = _list(params, 2)
        numbers = range(max(0, newest - count + 1), newest + 1)
        headers = [header for header in map(self._chain.header, numbers) if header is not None]
        after = self._chain.header(newest + 1)
        next_fee = self._chain.next_base_fee if after is None else evm.base_fee(after)
        history: dict[str, Json] = {
            "oldestBlock": hex(numbers.start),
            "baseFeePerGas": [*(hex(evm.base_fee(header)) for header in headers), hex(next_fee)],
            "gasUsedRatio": [header.gas_used / header.gas_limit for header in headers],
        }
        if percentiles:
            history["reward"] = [[hex(self._tip_paid(number))] * len(percentiles) for number in numbers]
        return history

    def _tip_paid(self, number: int) -> int:
        tips = [mined.price - evm.base_fee(mined.block.header) for mined in self._chain.mined(number)]
        return tips[0] if tips else 0

    def _at(self, params: list[Json], index: int) -> BlockHeaderAPI:
        value = params[index] if len(params) > index and params[index] is not None else "latest"
        header = self._header(value)
        if header is None:
            raise RpcError(SERVER_ERROR, "header not found")
        return header

    def _header(self, value: Json) -> BlockHeaderAPI | None:
        if isinstance(value, dict):
            wanted = cast("dict[str, Json]", value)
            if "blockHash" in wanted:
                return self._by_hash(_data([wanted["blockHash"]], 0))
            value = wanted.get("blockNumber")
        if value in _TAGS:
            return self._chain.head
        return self._chain.header(0 if value == "earliest" else _number([value], 0))

    def _by_hash(self, wanted: bytes) -> BlockHeaderAPI | None:
        for number in range(self._chain.head.block_number, -1, -1):
            header = self._chain.header(number)
            if header is not None and header.hash == wanted:
                return header
        return None

    def _block(self, header: BlockHeaderAPI, *, full: bool) -> Json:
        mined = self._chain.mined(header.block_number)
        listed = [transaction_json(one) if full else hex_data(one.transaction.hash) for one in mined]
        size = len(encode_rlp(self._chain.block(header.block_number)))
        return {
            **header_json(header),
            "size": hex(size),
            "transactions": listed,
            "uncles": [],
            "withdrawals": [],
        }


def _ran_json(ran: Ran) -> dict[str, Json]:
    logs = [
        {"address": hex_data(writer), "topics": [hex_data(topic) for topic in topics], "data": hex_data(data)}
        for writer, topics, data in ran.logs
    ]
    told: dict[str, Json] = {"returnData": hex_data(ran.output), "gasUsed": hex(ran.gas_used)}
    if ran.error is None:
        return {**told, "status": "0x1", "logs": logs}
    code = REVERTED if ran.error.data is not None else VM_ERROR
    return {**told, "status": "0x0", "logs": [], "error": {"code": code, "message": str(ran.error)}}


def _matches(log: dict[str, Json], wanted: dict[str, Json]) -> bool:
    addresses = _one_or_many(wanted.get("address"))
    if addresses is not None and log["address"] not in addresses:
        return False
    topics = _list([wanted.get("topics")], 0)
    if len(topics) > len(log["topics"]):
        return False
    choices = (_one_or_many(topic) for topic in topics)
    return all(choice is None or topic in choice for choice, topic in zip(choices, log["topics"], strict=False))


def _one_or_many(value: object) -> list[str] | None:
    if value is None:
        return None
    many = cast("list[object]", value) if isinstance(value, list) else [value]
    return [str(one).lower() for one in many]


def _call(params: list[Json]) -> Call:
    fields = _object(params, 0)
    data = fields.get("input") if fields.get("input") is not None else fields.get("data")
    zero = "0x" + "00" * 20
    return Call(
        sender=_address([fields.get("from") or zero], 0),
        to=_address([fields["to"]], 0) if fields.get("to") else b"",
        data=_data([data or "0x"], 0),
        value=_number([fields.get("value") or "0x0"], 0),
        gas=_number([fields["gas"]], 0) if fields.get("gas") else None,
    )


def _param(params: list[Json], index: int) -> Json:
    if len(params) <= index:
        raise RpcError(INVALID_PARAMS, f"missing value for required argument {index}")
    return params[index]


def _flag(params: list[Json], index: int) -> bool:
    return _param(params, index) is True


def _list(params: list[Json], index: int) -> list[Json]:
    value: object = params[index] if len(params) > index else None
    return cast("list[object]", value) if isinstance(value, list) else []


def _object(params: list[Json], index: int) -> dict[str, Json]:
    value = _param(params, index)
    if not isinstance(value, dict):
        raise RpcError(INVALID_PARAMS, f"invalid argument {index}: object expected")
    return cast("dict[str, Json]", value)


def _data(params: list[Json], index: int) -> bytes:
    value = _param(params, index)
    try:
        if isinstance(value, str) and value.startswith("0x"):
            return bytes.fromhex(value[2:])
    except ValueError:
        pass
    raise RpcError(INVALID_PARAMS, f"invalid argument {index}: hex data expected, starting with 0x")


def _address(params: list[Json], index: int) -> bytes:
    value = _data(params, index)
    if len(value) != 20:  # noqa: PLR2004
        raise RpcError(INVALID_PARAMS, f"invalid argument {index}: hex string has length {2 * len(value)}, want 40")
    return value


def _number(params: list[Json], index: int) -> int:
    value = _param(params, index)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    try:
        if isinstance(value, str) and value.startswith("0x"):
            return int(value[2:], 16)
    except ValueError:
        pass
    raise RpcError(INVALID_PARAMS, f"invalid argument {index}: hex number expected")


def now() -> int:
    """The clock, in whole seconds."""
    return int(time.time())
