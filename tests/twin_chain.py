"""An in-memory twin of `gateways.heads.ChainReader`: a chain that grows and is rearranged as a test says."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from safebox.firewall.errors import EffectError

TOKEN = "0x" + "aa" * 20
TOPIC = "0x" + "11" * 32


def _hash(number: int, fork: int) -> str:
    return "0x" + f"{fork:02x}{number:062x}"


@dataclass
class TwinChain:
    """Every block holds one log of TOKEN. `asked` is what was read, in order; `down` answers nothing."""

    height: int = 5
    fork: int = 0
    down: bool = False
    slow: asyncio.Event | None = None
    data: str = "0x"
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    pins: int = 0
    _hashes: dict[int, str] = field(default_factory=dict[int, str])

    def __post_init__(self) -> None:
        self.grow(0)

    def grow(self, count: int) -> list[str]:
        """So many blocks more; their hashes."""
        first = self.height + 1
        self.height += count
        for number in range(self.height + 1):
            self._hashes.setdefault(number, _hash(number, self.fork))
        return [self._hashes[number] for number in range(first, self.height + 1)]

    def rearrange(self, depth: int, count: int) -> list[str]:
        """Other blocks instead of the last `depth` ones; their hashes."""
        self.fork += 1
        self.height -= depth
        self._hashes = {number: each for number, each in self._hashes.items() if number <= self.height}
        return self.grow(count)

    def pinned(self) -> TwinChain:
        self.pins += 1
        return self

    async def forward(self, payload: bytes) -> bytes:
        asked = json.loads(payload)
        self.asked.append(asked)
        if self.slow is not None:
            await self.slow.wait()
        if self.down:
            raise EffectError("the chain could not be asked")
        result = self._result(asked["method"], asked["params"])
        return json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode()

    def methods(self) -> list[str]:
        return [each["method"] for each in self.asked]

    def _result(self, method: str, params: list[Any]) -> Any:
        match method:
            case "eth_blockNumber":
                return hex(self.height)
            case "eth_getBlockByNumber":
                return self._block(self.height if params[0] == "latest" else int(params[0], 16))
            case "eth_getBlockByHash":
                found = [number for number, each in self._hashes.items() if each == params[0]]
                return self._block(found[0]) if found else None
            case "eth_getLogs":
                return [self._log(params[0]["blockHash"])] if "blockHash" in params[0] else []
            case _:
                return "0x1"

    def _block(self, number: int) -> dict[str, Any]:
        parent = self._hashes.get(number - 1, "0x" + "00" * 32)
        block = {"number": hex(number), "hash": self._hashes[number], "parentHash": parent, "gasUsed": "0x0"}
        return {**block, "transactions": ["0x1"], "uncles": [], "size": "0x1"}

    def _log(self, block: str) -> dict[str, Any]:
        where = {"blockHash": block, "blockNumber": hex(int(block[4:], 16)), "logIndex": "0x0", "removed": False}
        return {"address": TOKEN, "topics": [TOPIC], "data": self.data, **where}
