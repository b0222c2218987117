"""Changed bytes for the fuzz targets, and trying them for a while."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

STEPS: Final = 8
Input = TypeVar("Input")
_INTERESTING: Final = (0, 1, 0x1F, 0x20, 0x40, 0x7F, 0x80, 0xFF)


def mutated(seed: bytes, seeds: Sequence[bytes], dice: random.Random) -> bytes:
    """Bytes like the seed, with pieces of others in them."""
    data = bytearray(seed)
    for _ in range(dice.randint(1, STEPS)):
        _mutate(data, seeds, dice)
    return bytes(data)


def _mutate(data: bytearray, seeds: Sequence[bytes], dice: random.Random) -> None:
    at = dice.randrange(len(data) + 1)
    match dice.randrange(6):
        case 0 if at < len(data):
            data[at] ^= 1 << dice.randrange(8)
        case 1 if at < len(data):
            data[at] = dice.choice(_INTERESTING)
        case 2:
            data[at:at] = bytes(dice.choice((1, 31, 32)))
        case 3:
            del data[at : at + dice.choice((1, 4, 32))]
        case 4:
            other = dice.choice(seeds)
            start = dice.randrange(len(other) + 1)
            data[at : at + 32] = other[start : start + 32]
        case _:
            word = 4 + 32 * dice.randrange(max(1, len(data) // 32))
            data[word : word + 32] = dice.choice((0, 1, 32, 64, len(data), 2**255)).to_bytes(32)


def search(
    inputs: Iterable[Input], check: Callable[[Input], bool], keep: Callable[[Input, int], None], seconds: float
) -> str:
    """Try inputs for so long; how many, and how many of them were read. What breaks the target is kept first."""
    end, tried, read = time.monotonic() + seconds, 0, 0
    for each in inputs:
        try:
            read += check(each)
        except BaseException:
            keep(each, tried)
            raise
        tried += 1
        if time.monotonic() > end:
            break
    return f"{tried} inputs, {read} of them read; nothing broke"
