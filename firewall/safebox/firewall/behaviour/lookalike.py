"""Addresses that are made to be mistaken for others, and addresses nobody can spend from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_ENDS: Final = 4
"""Hex digits at either end that wallets show and people compare; address poisoning grinds for just these."""
_PRECOMPILES: Final = range(1, 0x12)
"""1 to 0x11: the precompiled contracts up to the Prague fork (EIP-2537)."""
_DEAD: Final = re.compile(r"0{24,}(?:dead)+|(?:dead)+0{12,}[0-9a-f]*|(?:dead){10}|0{32}deadbeef")
"""Twelve and more zeros beside the word: nobody finds a key for such an address."""
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)


def lookalike(address: str, known: Mapping[str, str]) -> str | None:
    """Name the known payee (name → address) an unlisted address resembles at both ends.

    Raises:
        ValueError: if an address isn't `0x` and 40 hex digits.
    """
    digits = _digits(address)
    others = {name: _digits(other) for name, other in known.items()}
    if digits in others.values():
        return None
    for name, other in sorted(others.items()):
        if other[:_ENDS] == digits[:_ENDS] and other[-_ENDS:] == digits[-_ENDS:]:
            return name
    return None


def burn_marker(address: str) -> str | None:
    """Say why nobody can spend what is sent there: `zero`, `dead` or `precompile`; otherwise nothing.

    Raises:
        ValueError: if it isn't `0x` and 40 hex digits.
    """
    digits = _digits(address)
    if not int(digits, 16):
        return "zero"
    if int(digits, 16) in _PRECOMPILES:
        return "precompile"
    return "dead" if _DEAD.fullmatch(digits) else None


def _digits(address: str) -> str:
    if not _ADDRESS.fullmatch(address):
        raise ValueError("not an address: 0x and 40 hex digits are wanted")
    return address[2:].lower()
