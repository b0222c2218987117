"""What is said over the signer's socket: one question, one answer, each a length and JSON."""

from __future__ import annotations

import socket
from typing import Final, Literal

import msgspec

FRAME_BYTES_MAX: Final = 1_048_576
"""Typed data of the largest size in base64, and room."""
LENGTH_BYTES: Final = 4

Kind = Literal["transaction", "typed_data", "message"]


class AddressOf(msgspec.Struct, frozen=True, tag="address_of", forbid_unknown_fields=True):
    """Whose address: the owner's or a run's."""

    signer: str


class Sign(msgspec.Struct, frozen=True, kw_only=True, tag="sign", forbid_unknown_fields=True):
    """Sign this for that decision. `content` is what is hashed, unsigned; `again`: only if it was signed before."""

    decision: str
    signer: str
    kind: Kind
    content: bytes
    again: bool = False


class Address(msgspec.Struct, frozen=True, tag="address"):
    """A checksummed address."""

    address: str


class Signed(msgspec.Struct, frozen=True, tag="signed"):
    """The 65 bytes of a signature, or a whole signed transaction."""

    signature: bytes


class Never(msgspec.Struct, frozen=True, tag="never"):
    """This was not signed before."""


class No(msgspec.Struct, frozen=True, tag="no"):
    """It is not signed. `why` is a short word; `later`: it may be once the ledger's file says more."""

    why: str
    cause: str
    later: bool = False
    remedy: str = ""


Question = AddressOf | Sign
Answer = Address | Signed | Never | No

_QUESTION: Final[msgspec.json.Decoder[AddressOf | Sign]] = msgspec.json.Decoder(AddressOf | Sign)
_ANSWER: Final[msgspec.json.Decoder[Address | Signed | Never | No]] = msgspec.json.Decoder(
    Address | Signed | Never | No
)


def frame(message: Question | Answer) -> bytes:
    """Write one message."""
    body = msgspec.json.encode(message)
    return len(body).to_bytes(LENGTH_BYTES) + body


def length(head: bytes) -> int:
    """How long the message after these four bytes is.

    Raises:
        ValueError: if it is too long.
    """
    found = int.from_bytes(head)
    if found > FRAME_BYTES_MAX:
        raise ValueError("the message is too long")
    return found


def read_question(body: bytes) -> Question:
    """Read a question.

    Raises:
        msgspec.DecodeError: if it is none.
    """
    return _QUESTION.decode(body)


def read_answer(body: bytes) -> Answer:
    """Read an answer.

    Raises:
        msgspec.DecodeError: if it is none.
    """
    return _ANSWER.decode(body)


def receive(connection: socket.socket) -> bytes | None:
    """Wait for one message; None at the end of the connection.

    Raises:
        ValueError: if it is too long.
        OSError: if the connection breaks.
    """
    head = _exactly(connection, LENGTH_BYTES)
    return None if head is None else _exactly(connection, length(head))


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    found = bytearray()
    while len(found) < size:
        part = connection.recv(size - len(found))
        if not part:
            return None
        found += part
    return bytes(found)
