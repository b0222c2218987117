"""What a run asks for, before and after it is understood."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from safebox.firewall.core.money import encode_amount
from safebox.firewall.core.tools import Caller

KEY_MAX: Final = 255
"""Longest idempotency key: enough for any UUID or digest, short enough to index."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway hands over: parsed JSON, nothing decided, nobody trusted.

    `run` comes from the listener that accepted the connection, never from the request.
    """

    run: str
    tool: str
    arguments: Any
    key: str | None = None
    caller: Caller = Caller.AGENT


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """`facts.approval`: how a hold passed. Policy says whether that is enough for what it asks today."""

    hold: str
    group: str
    approved_by: tuple[str, ...]
    challenge_passed: bool
    waited_s: int


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was understood: normalised, immutable, named by its digest.

    One that was held carries, when it comes back, the `approval` with which it passed; a call never does. One that was
    allowed carries the `decision` that says so.
    """

    id: str
    run: str
    tool: str
    kind: str
    effects: tuple[str, ...]
    caller: Caller
    args: Any
    digest: str
    key: str | None
    received_ns: int
    approval: Approval | None = None
    decision: str = ""


_ENCODER: Final = msgspec.json.Encoder(enc_hook=encode_amount, order="deterministic")


def canonical(value: Any) -> bytes:
    """Say a value as canonical JSON: sorted keys, padded amounts, no white space."""
    return _ENCODER.encode(value)


def digest_of(value: Any) -> str:
    """The name of exactly this value."""
    return "sha256:" + hashlib.sha256(canonical(value)).hexdigest()
