"""When a block is final, and whether what was final is still there."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any, Final, NamedTuple, cast

from safebox.firewall.connectors.jsonrpc import ChainNode, NodeUnavailable

_LOG = logging.getLogger(__name__)

KEPT_MAX: Final = 256
"""Final payments that are looked after in this process: beyond them a chain has long gone on."""


class _Held(NamedTuple):
    number: int
    block: str


class Finality:
    """Counts confirmations on one node.

    Args:
        node: the node.
        confirmations: how many blocks must hold a payment, its own included, until it is final. At least 1.
    """

    def __init__(self, node: ChainNode, confirmations: int) -> None:
        if confirmations < 1:
            raise ValueError("a payment is final after one block at the earliest")
        self._node = node
        self._confirmations = confirmations
        self._kept: OrderedDict[str, _Held] = OrderedDict()

    def on(self, node: ChainNode) -> Finality:
        """The same, asked of one node; what is looked after stays in common."""
        one = Finality(node, self._confirmations)
        one._kept = self._kept
        return one

    async def head(self) -> int:
        """The newest block; 0, unasked, where a receipt alone is final.

        Raises:
            NodeUnavailable: There was no usable answer.
            NodeRefused: The node answered with an error.
        """
        return 0 if self._confirmations == 1 else await self._node.quantity("eth_blockNumber")

    async def block(self) -> str:
        """The newest block that is final, as JSON-RPC names it. Raises as `head` does."""
        if self._confirmations == 1:
            return "latest"
        return hex(max(0, await self.head() - self._confirmations + 1))

    def missing(self, block: int, head: int) -> int:
        """How many blocks must still follow until one is final."""
        return 0 if self._confirmations == 1 else max(0, block + self._confirmations - 1 - head)

    def remember(self, transaction: str, number: int, block: str) -> None:
        """Look after a payment that is final from now on."""
        self._kept.pop(transaction, None)
        self._kept[transaction] = _Held(number, block)
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    async def vanished(self) -> list[str]:
        """Payments that were final and are no more, each told once.

        While the newest block that was seen is where it was, so is everything before it: one question is enough.

        Raises:
            NodeUnavailable: There was no usable answer.
            NodeRefused: The node answered with an error.
        """
        return await self.on(await self._node.choose())._vanished() if self._kept else []

    async def _vanished(self) -> list[str]:
        if await self._stands(max(self._kept.values())):
            return []
        gone: list[str] = []
        for transaction, held in list(self._kept.items()):
            found = await self._place(transaction)
            if found is None:
                gone.append(transaction)
                del self._kept[transaction]
                _LOG.critical("%s was final in block %d and is there no more", transaction, held.number)
            else:
                self._kept[transaction] = found
        return gone

    async def _stands(self, held: _Held) -> bool:
        answer: Any = await self._node.call("eth_getBlockByNumber", hex(held.number), False)
        return isinstance(answer, dict) and cast("dict[str, Any]", answer).get("hash") == held.block

    async def _place(self, transaction: str) -> _Held | None:
        receipt: Any = await self._node.call("eth_getTransactionReceipt", transaction)
        if receipt is None:
            return None
        fields = cast("dict[str, Any]", receipt) if isinstance(receipt, dict) else {}
        try:
            return _Held(int(fields["blockNumber"], 16), str(fields["blockHash"]))
        except (KeyError, TypeError, ValueError) as error:
            raise NodeUnavailable("the node's receipt is none") from error
