"""The bound every detector works under: one purse per payload, paid in bytes and attempts.

Rule 1: what the purse can't pay for is not looked at, and then the answer says `truncated`.
Rule 2: policy treats a truncated answer as a deny; so running a purse dry gains an attacker nothing.
"""

from __future__ import annotations

from typing import Final

OUTPUT_BYTES_MAX: Final = 6 * 1024 * 1024
"""Everything unwrapped from one payload: a megabyte of mail unwrapped three times over, then half as much again."""
LAYERS_MAX: Final = 4096
"""Texts kept of one payload: an archive of a whole source tree has fewer."""
ATTEMPTS_MAX: Final = 20_000
"""Tries to decode something: a megabyte of noise has about a hundred places that look like a compressed stream."""
DEPTH_MAX: Final = 8
"""Wrappers around wrappers: people and programs nest two or three."""


class Purse:
    """What is left to spend on one payload."""

    __slots__ = ("attempts", "layers", "output", "truncated")

    def __init__(self) -> None:
        self.output = OUTPUT_BYTES_MAX
        self.layers = LAYERS_MAX
        self.attempts = ATTEMPTS_MAX
        self.truncated = False

    def attempt(self) -> bool:
        """Pay for one try; false (and truncated) when none is left."""
        if self.attempts <= 0 or self.output <= 0:
            self.truncated = True
            return False
        self.attempts -= 1
        return True

    def produce(self, size: int) -> bool:
        """Pay for `size` bytes that a decoder made; false (and truncated) when they are more than is left."""
        self.output -= size
        if self.output < 0:
            self.truncated = True
            return False
        return True
