"""How the stand-in chain writes blocks, transactions, receipts and logs in JSON (the shapes of geth)."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import rlp  # type: ignore[import-untyped]
from eth.abc import BlockHeaderAPI, LogAPI
from eth_utils.crypto import keccak

from safebox.firewall.standins import evm
from safebox.firewall.standins.evm import Mined

Json: TypeAlias = Any


def encode_rlp(value: Any) -> bytes:
    """RLP, as blocks and transactions are written."""
    return cast("bytes", rlp.encode(value))  # pyright: ignore[reportUnknownMemberType]


def transaction_json(mined: Mined) -> dict[str, Json]:
    """A transaction as `eth_getTransactionByHash` gives it."""
    one, header = mined.transaction, mined.block.header
    kind = one.type_id or 0
    answer: dict[str, Json] = {
        "blockHash": hex_data(header.hash),
        "blockNumber": hex(header.block_number),
        "from": hex_data(one.sender),
        "gas": hex(one.gas),
        "gasPrice": hex(mined.price),
        "hash": hex_data(one.hash),
        "input": hex_data(one.data),
        "nonce": hex(one.nonce),
        "to": hex_data(one.to) if one.to else None,
        "transactionIndex": "0x0",
        "value": hex(one.value),
        "type": hex(kind),
        "chainId": hex(evm.CHAIN_ID),
        "v": hex(one.y_parity + (35 + 2 * evm.CHAIN_ID if kind == 0 else 0)),
        "r": hex(one.r),
        "s": hex(one.s),
    }
    if kind:
        answer |= {"accessList": _access_list(one.access_list), "yParity": hex(one.y_parity)}
    if kind >= evm.DYNAMIC_FEE_TYPE:
        answer["maxFeePerGas"] = hex(one.max_fee_per_gas)
        answer["maxPriorityFeePerGas"] = hex(one.max_priority_fee_per_gas)
    return answer


def receipt_json(mined: Mined) -> dict[str, Json]:
    """A receipt as `eth_getTransactionReceipt` gives it."""
    one, header, receipt = mined.transaction, mined.block.header, mined.receipt
    created = None if one.to else hex_data(keccak(encode_rlp([one.sender, one.nonce]))[12:])
    return {
        "blockHash": hex_data(header.hash),
        "blockNumber": hex(header.block_number),
        "contractAddress": created,
        "cumulativeGasUsed": hex(receipt.gas_used),
        "effectiveGasPrice": hex(mined.price),
        "from": hex_data(one.sender),
        "gasUsed": hex(receipt.gas_used),
        "logs": logs_json(mined),
        "logsBloom": hex_data(receipt.bloom.to_bytes(256)),
        "status": "0x1" if receipt.state_root == b"\x01" else "0x0",
        "to": hex_data(one.to) if one.to else None,
        "transactionHash": hex_data(one.hash),
        "transactionIndex": "0x0",
        "type": hex(one.type_id or 0),
    }


def header_json(header: BlockHeaderAPI) -> dict[str, Json]:
    """The part of a block that its header tells."""
    fields = cast("Any", header)
    return {
        "number": hex(header.block_number),
        "hash": hex_data(header.hash),
        "parentHash": hex_data(header.parent_hash),
        "nonce": hex_data(header.nonce),
        "mixHash": hex_data(header.mix_hash),
        "sha3Uncles": hex_data(header.uncles_hash),
        "logsBloom": hex_data(header.bloom.to_bytes(256)),
        "transactionsRoot": hex_data(header.transaction_root),
        "stateRoot": hex_data(header.state_root),
        "receiptsRoot": hex_data(header.receipt_root),
        "miner": hex_data(header.coinbase),
        "difficulty": hex(header.difficulty),
        "extraData": hex_data(header.extra_data),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "baseFeePerGas": hex(evm.base_fee(header)),
        "withdrawalsRoot": hex_data(fields.withdrawals_root),
        "blobGasUsed": hex(fields.blob_gas_used),
        "excessBlobGas": hex(fields.excess_blob_gas),
        "parentBeaconBlockRoot": hex_data(fields.parent_beacon_block_root),
        "requestsHash": hex_data(fields.requests_hash),
    }


def logs_json(mined: Mined) -> list[dict[str, Json]]:
    """The logs of a transaction, as in its receipt."""
    return [_log_json(mined, index, log) for index, log in enumerate(mined.receipt.logs)]


def _log_json(mined: Mined, index: int, log: LogAPI) -> dict[str, Json]:
    return {
        "address": hex_data(log.address),
        "topics": [hex_data(topic.to_bytes(32)) for topic in log.topics],
        "data": hex_data(log.data),
        "blockNumber": hex(mined.block.header.block_number),
        "blockHash": hex_data(mined.block.header.hash),
        "blockTimestamp": hex(mined.block.header.timestamp),
        "transactionHash": hex_data(mined.transaction.hash),
        "transactionIndex": "0x0",
        "logIndex": hex(index),
        "removed": False,
    }


def hex_data(value: bytes) -> str:
    """Bytes as JSON-RPC writes them."""
    return "0x" + bytes(value).hex()


def _access_list(entries: Any) -> list[Json]:
    return [
        {"address": hex_data(address), "storageKeys": [hex_data(key.to_bytes(32)) for key in keys]}
        for address, keys in entries
    ]
