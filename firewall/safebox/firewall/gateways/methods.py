"""Every JSON-RPC method there is in a sandbox, by its exact name. What is not in this table doesn't exist.

READ      passed on to the node, and its answer passed back as it was written
OWN       the firewall knows it itself
DECIDE    an action like any other, for the pipeline
FILTER    answered here: filters are this run's own, and no node keeps them
LIVE      over a WebSocket only: a subscription, which is this connection's own
REFUSE    never done, whatever is asked; what was asked decides only how that is said

Left out on purpose, so that a node's own methods never come in by accident:
- keys and signing outside the pipeline: personal_* but personal_sign, eth_signTransaction, wallet_*
- what changes or controls a node: admin_*, miner_*, anvil_*, hardhat_*, evm_*, txpool_*, eth_submitWork, …
- what costs a node without a bound: debug_*, trace_*, eth_simulateV1 (many blocks of calls with their own state)
- eth_newPendingTransactionFilter, and newPendingTransactions as a subscription: others' payments before they are mined
  are a flood on a real network, and what an agent could do with them is to run ahead of people
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from safebox.firewall.gateways.acts import ACTS, REFUSALS
from safebox.firewall.gateways.bounds import bound_call, bound_history, bound_logs, bound_proof

Bound = Callable[[list[Any]], None]
"""Raises `CallerError` for parameters that ask for more than a read may."""


class Kind(enum.Enum):
    """Who answers."""

    READ = enum.auto()
    OWN = enum.auto()
    DECIDE = enum.auto()
    FILTER = enum.auto()
    LIVE = enum.auto()
    REFUSE = enum.auto()


class Method(NamedTuple):
    """What is done with a method: who answers, how many parameters there may be, and what they may ask for."""

    kind: Kind
    params: int
    bound: Bound | None = None


_READS: Final[dict[str, tuple[int, Bound | None]]] = {
    "eth_blobBaseFee": (0, None),
    "eth_blockNumber": (0, None),
    "eth_call": (2, bound_call),
    "eth_createAccessList": (2, bound_call),
    "eth_estimateGas": (2, bound_call),
    "eth_feeHistory": (3, bound_history),
    "eth_gasPrice": (0, None),
    "eth_getBalance": (2, None),
    "eth_getBlockByHash": (2, None),
    "eth_getBlockByNumber": (2, None),
    "eth_getBlockReceipts": (1, None),
    "eth_getBlockTransactionCountByHash": (1, None),
    "eth_getBlockTransactionCountByNumber": (1, None),
    "eth_getCode": (2, None),
    "eth_getLogs": (1, bound_logs),
    "eth_getProof": (3, bound_proof),
    "eth_getStorageAt": (3, None),
    "eth_getTransactionByBlockHashAndIndex": (2, None),
    "eth_getTransactionByBlockNumberAndIndex": (2, None),
    "eth_getTransactionByHash": (1, None),
    "eth_getTransactionCount": (2, None),
    "eth_getTransactionReceipt": (1, None),
    "eth_getUncleByBlockHashAndIndex": (2, None),
    "eth_getUncleByBlockNumberAndIndex": (2, None),
    "eth_getUncleCountByBlockHash": (1, None),
    "eth_getUncleCountByBlockNumber": (1, None),
    "eth_maxPriorityFeePerGas": (0, None),
    "eth_syncing": (0, None),
    "net_listening": (0, None),
    "web3_sha3": (1, None),
}
"""At most so many parameters: a third one of `eth_call` and `eth_estimateGas` would override state."""
OWN: Final = ("eth_accounts", "eth_requestAccounts", "eth_chainId", "eth_coinbase", "net_version", "web3_clientVersion")
_FILTERS: Final = {
    "eth_newFilter": 1,
    "eth_newBlockFilter": 0,
    "eth_getFilterChanges": 1,
    "eth_getFilterLogs": 1,
    "eth_uninstallFilter": 1,
}
_LIVE: Final = {"eth_subscribe": 2, "eth_unsubscribe": 1}

METHODS: Final[dict[str, Method]] = {
    **{name: Method(Kind.READ, params, bound) for name, (params, bound) in _READS.items()},
    **{name: Method(Kind.OWN, 0) for name in OWN},
    **{name: Method(Kind.FILTER, params) for name, params in _FILTERS.items()},
    **{name: Method(Kind.LIVE, params) for name, params in _LIVE.items()},
    **{name: Method(Kind.DECIDE, act.params) for name, act in ACTS.items()},
    **{name: Method(Kind.REFUSE, 1) for name in REFUSALS},
}
READS: Final = tuple(_READS)
