"""Whether a text tells where money can be sent to the run."""

from __future__ import annotations

import re
from typing import Final

from safebox.firewall.behaviour.secrets import KnownSecrets
from safebox.firewall.behaviour.unwrap import Unwrapped, unwrap

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)


def carries_address(payload: bytes | Unwrapped, address: str) -> bool:
    """Whether the run's own wallet address is in the payload: in any case, spaced, punctuated, encoded or backwards.

    Fails closed: true when some of the payload was not looked at.

    Raises:
        ValueError: if the address isn't `0x` and 40 hex digits.
    """
    if not _ADDRESS.fullmatch(address):
        raise ValueError("not an address: 0x and 40 hex digits are wanted")
    unwrapped = unwrap(payload) if isinstance(payload, bytes) else payload
    own = KnownSecrets.build([bytes.fromhex(address[2:])])
    return unwrapped.truncated or any(map(own.are_in, unwrapped.layers, unwrapped.texts))
