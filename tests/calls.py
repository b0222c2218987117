"""Calls of contracts in bytes, made by eth_abi: another encoder than the one under test."""

from __future__ import annotations

from typing import Any, Final, cast

import rlp  # type: ignore[import-untyped]
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from safebox.firewall.core.abi import function
from safebox.firewall.core.addresses import checksummed

RLP: Final = cast(Any, rlp)
"""Its types say nothing."""
TOKEN: Final = checksummed(b"\x11" * 20)
THING: Final = checksummed(b"\x22" * 20)
BATCHER: Final = checksummed(b"\x33" * 20)
SHOP: Final = checksummed(b"\x44" * 20)
PAYEE: Final = checksummed(b"\x55" * 20)
OWN: Final = checksummed(b"\x66" * 20)
PERMIT2: Final = "0x000000000022D473030F116dDEE9F6B43aC78BA3"


def call(signature: str, *values: Any) -> bytes:
    """Selector and arguments."""
    types = [each.name for each in function(signature).types]
    return keccak(text=signature)[:4] + encode(types, values)


def transfer(units: int = 5, to: str = PAYEE) -> bytes:
    """A token's transfer."""
    return call("transfer(address,uint256)", to, units)


def packed(*parts: tuple[str, int, bytes], operation: int = 0) -> bytes:
    """MultiSend's packing."""
    return b"".join(
        bytes([operation]) + bytes.fromhex(to[2:]) + value.to_bytes(32) + len(data).to_bytes(32) + data
        for to, value, data in parts
    )


def safe(to: str, value: int, data: bytes, *, operation: int = 0, gas_price: int = 0) -> bytes:
    """A Safe's execTransaction."""
    signature = "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)"
    nobody = "0x" + "0" * 40
    return call(signature, to, value, data, operation, 0, 0, gas_price, nobody, nobody, b"\x01" * 65)
