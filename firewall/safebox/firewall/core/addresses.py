"""Ethereum addresses: their one spelling (EIP-55), and the hash it is made with.

eth-utils says the same and loads pydantic with it, which was a third of a firewall's start; a test holds what is said
here against it.
"""

from __future__ import annotations

import sys
from typing import Any, Final


def _without_cffi() -> Any:
    """PyCryptodome's hash over ctypes: over cffi it loads a parser of C first, a tenth of a second in each process."""
    hidden: dict[str, Any] = {} if "cffi" in sys.modules else {"cffi": None}
    sys.modules.update(hidden)
    try:
        from Crypto.Hash import keccak
    finally:
        for name in hidden:
            del sys.modules[name]
    return keccak


_keccak: Final = _without_cffi()
ADDRESS_BYTES: Final = 20
_MIDDLE: Final = 8
"""EIP-55: a letter is a capital where the hash's digit in its place is at least this."""


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it: the submission's padding, not that of SHA-3 (FIPS 202)."""
    return bytes(_keccak.new(digest_bits=256, data=data).digest())


def checksummed(address: bytes) -> str:
    """Say 20 bytes as an address, with the checksum of EIP-55 in the case of its letters.

    Raises:
        ValueError: if they aren't 20 bytes.
    """
    if len(address) != ADDRESS_BYTES:
        raise ValueError("an address has 20 bytes")
    digits = address.hex()
    nibbles = keccak256(digits.encode()).hex()
    cased = (
        digit.upper() if int(nibble, 16) >= _MIDDLE else digit for digit, nibble in zip(digits, nibbles, strict=False)
    )
    return "0x" + "".join(cased)
