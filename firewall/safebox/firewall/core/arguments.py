"""What each tool takes, normalised: a wrong argument can't be built.

The agent's JSON is read strictly by `parse_json` (no duplicate keys, no floats unless asked for, no NaN, bounded
nesting) and then converted to one of the frozen types below; whatever isn't exactly that is a `CallerError`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
from typing import Annotated, Any, Final, NoReturn

import msgspec

from safebox.firewall.core.addresses import checksummed
from safebox.firewall.core.money import UNITS_MAX, Amount, parse_amount
from safebox.firewall.errors import CallerError, ConfigError

NESTING_MAX: Final = 32
"""Deeper JSON than any tool needs; keeps every later walk of the value cheap."""
ADDRESS_TEXT_MAX: Final = 254
"""RFC 5321 4.5.3.1.3 leaves 254 characters for an address."""
RECIPIENTS_MAX: Final = 50
SUBJECT_MAX: Final = 998
"""RFC 5322 2.1.1: a header line."""
BODY_MAX: Final = 262_144
"""Text that policy reads whole and the ledger keeps whole."""
ATTACHMENTS_MAX: Final = 10
ATTACHMENT_BYTES_MAX: Final = 5_242_880
COMMAND_MAX: Final = 64
LEASE_MINUTES_MAX: Final = 527_040
"""A year: policy bounds leases, this bounds arithmetic."""
GAS_MAX: Final = 30_000_000
"""A block's worth (EIP-1559 era block limit): no transfer needs more."""

_MAILBOX: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+", re.ASCII
)
_HEX_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_ONE_LINE: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*")

Text = Annotated[str, msgspec.Meta(max_length=BODY_MAX)]
Short = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Attachment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a mail; the content travels as base64."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^/\\\x00-\x1f\x7f]+$")]
    content_base64: str


class SendEmail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mail to one or more exact addresses."""

    to: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=RECIPIENTS_MAX)]
    subject: Annotated[str, msgspec.Meta(max_length=SUBJECT_MAX)]
    body: Text
    attachments: Annotated[tuple[Attachment, ...], msgspec.Meta(max_length=ATTACHMENTS_MAX)] = ()


class ReadEmail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which message of the inbox."""

    id: Short


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool without arguments."""


class AskTransfer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A native transfer as an agent writes it: `amount` with its unit."""

    to: str
    amount: str
    gas: Annotated[int, msgspec.Meta(ge=21_000, le=GAS_MAX)] | None = None
    max_fee_per_gas: str | None = None
    max_priority_fee_per_gas: str | None = None
    nonce: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None


class Transfer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A native transfer, normalised: a checksummed address and exact amounts in wei."""

    to: str
    amount: Amount
    gas: int | None
    max_fee_per_gas: Amount | None
    max_priority_fee_per_gas: Amount | None
    nonce: int | None


class MoveFunds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Money between owner and run; no `amount` moves all there is, less fees."""

    to: str
    amount: Amount | None


class StartCompute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One bought container: a listed image with a listed command, for some minutes."""

    image: Short
    command: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=COMMAND_MAX)]
    minutes: Annotated[int, msgspec.Meta(ge=1, le=LEASE_MINUTES_MAX)]
    input: Text | None = None
    name: Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[A-Za-z0-9._-]*$")] | None = None


class Instance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which bought container."""

    instance: Short


class StartRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run: which agent, in which image, with which command, for which task. What it may do is its mandate."""

    agent: str
    image: str
    command: tuple[str, ...]
    task: str


class Chat(msgspec.Struct, frozen=True):
    """A chat completion: the fields the firewall judges, and the whole request as parsed and re-encoded."""

    model: str
    max_tokens: int | None
    stream: bool
    request: dict[str, Any]


class Outgoing(msgspec.Struct, frozen=True):
    """Arguments that say themselves what of them leaves the sandbox, and where to: a class, for each call asks it."""

    def payload(self) -> bytes:
        """The bytes that leave."""
        raise NotImplementedError

    def payload_to(self) -> tuple[str, ...]:
        """The places they go to, one at least."""
        raise NotImplementedError


Arguments = SendEmail | ReadEmail | Nothing | Transfer | MoveFunds | StartCompute | Instance | StartRun | Chat


def parse_json(body: bytes, *, floats: bool = False) -> Any:
    """Read JSON the way a signature would have to be read: one meaning or none.

    Raises:
        CallerError: on invalid UTF-8 or JSON, half of a surrogate pair, duplicate keys, NaN or infinities, floats
            (unless `floats`), integers beyond 256 bit, or nesting beyond `NESTING_MAX`.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_bounded_int,
            parse_float=_finite_float if floats else _no_float,
            parse_constant=_no_constant,
        )
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CallerError(f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise CallerError("the JSON is nested too deeply") from error
    _check_nesting(value, NESTING_MAX)
    if _SURROGATE.search(body) is not None:
        _check_text(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise CallerError("the JSON has a duplicate key")
    return result


def _bounded_int(text: str) -> int:
    if len(text) > len(str(UNITS_MAX)) + 1:
        raise CallerError("the JSON has a number beyond 256 bit")
    value = int(text)
    if abs(value) > UNITS_MAX:
        raise CallerError("the JSON has a number beyond 256 bit")
    return value


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise CallerError(f"{text[:40]} is beyond what a number can be")
    return value


def _no_float(text: str) -> NoReturn:
    raise CallerError(f"{text[:40]} is a fraction; write amounts as text with a unit")


def _no_constant(text: str) -> NoReturn:
    raise CallerError(f"{text} is not a JSON number")


def _check_nesting(value: Any, left: int) -> None:
    if not isinstance(value, dict | list):
        return
    if left == 0:
        raise CallerError("the JSON is nested too deeply")
    for item in value.values() if isinstance(value, dict) else value:  # pyright: ignore[reportUnknownVariableType]
        _check_nesting(item, left - 1)


def _check_text(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise CallerError("the JSON has half of a surrogate pair, which is no character") from error


def parse_address(text: str) -> str:
    """Read an Ethereum address and return it checksummed (EIP-55).

    Raises:
        CallerError: for anything else: names, wrong mixed-case checksums, non-ASCII look-alikes.
    """
    if _HEX_ADDRESS.fullmatch(text) is None:
        raise CallerError("an address is 0x and 40 hexadecimal digits")
    digits, said = text[2:], checksummed(bytes.fromhex(text[2:]))
    if digits not in (digits.lower(), digits.upper()) and text != said:
        raise CallerError("the address has a wrong checksum (EIP-55)")
    return said


def parse_mailbox(text: str) -> str:
    """Read one mail address and return it in lower case.

    Raises:
        CallerError: for anything but a plain ASCII address: display names, lists, comments, line breaks.
    """
    if len(text) > ADDRESS_TEXT_MAX or _MAILBOX.fullmatch(text) is None:
        raise CallerError(f"{text[:80]!r} is not a plain mail address")
    return text.lower()


def normalise_email(ask: SendEmail) -> SendEmail:
    """Lower-case the recipients, refuse line breaks in headers and broken attachments."""
    if _ONE_LINE.fullmatch(ask.subject) is None:
        raise CallerError("the subject has a control character")
    total = 0
    for attachment in ask.attachments:
        total += len(decode_base64(attachment.content_base64))
    if total > ATTACHMENT_BYTES_MAX:
        raise CallerError("the attachments are too large", code="request.too_large")
    return msgspec.structs.replace(ask, to=tuple(dict.fromkeys(parse_mailbox(to) for to in ask.to)))


def decode_base64(text: str) -> bytes:
    """Read canonical base64.

    Raises:
        CallerError: if re-encoding would give another text.
    """
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CallerError("content_base64 is not base64") from error
    if base64.b64encode(content).decode() != text:
        raise CallerError("content_base64 is not canonical base64")
    return content


def normalise_transfer(ask: AskTransfer) -> Transfer:
    """Checksum the address and read the amounts exactly."""
    return Transfer(
        to=parse_address(ask.to),
        amount=parse_wei(ask.amount),
        gas=ask.gas,
        max_fee_per_gas=None if ask.max_fee_per_gas is None else parse_wei(ask.max_fee_per_gas),
        max_priority_fee_per_gas=None
        if ask.max_priority_fee_per_gas is None
        else parse_wei(ask.max_priority_fee_per_gas),
        nonce=ask.nonce,
    )


def parse_wei(text: str) -> Amount:
    """Read an amount of ETH as an agent writes it.

    Raises:
        CallerError: if it is none.
    """
    try:
        return parse_amount(text, asset="ETH")
    except ConfigError as error:
        raise CallerError(f"{error.cause} ({error.remedy})") from error


def normalise_chat(request: dict[str, Any]) -> Chat:
    """Take out what is judged; the request itself goes on as parsed.

    Raises:
        CallerError: if model, messages or limits are of the wrong type, or several answers are asked for.
    """
    model, messages = request.get("model"), request.get("messages")
    stream = request.get("stream", False)
    if not isinstance(model, str) or not model:
        raise CallerError("model must be text")
    if not isinstance(messages, list) or not messages:
        raise CallerError("messages must be a list with at least one message")
    if type(stream) is not bool:
        raise CallerError("stream must be true or false")
    if request.get("n", 1) not in (1, None):
        raise CallerError("n other than 1 is not supported")
    return Chat(model=model, max_tokens=_max_tokens(request), stream=stream, request=request)


def _max_tokens(request: dict[str, Any]) -> int | None:
    found = [request[key] for key in ("max_completion_tokens", "max_tokens") if request.get(key) is not None]
    for value in found:
        if type(value) is not int or not 0 < value < 2**31:
            raise CallerError("max_tokens must be a positive integer")
    return max(found) if found else None


def view_email(args: SendEmail) -> dict[str, Any]:
    """What policy and ledger see of a mail: everything but the attachments' bytes, which are named by digest."""
    return {
        "to": args.to,
        "subject": args.subject,
        "body": args.body,
        "attachments": [
            {"name": item.name, "bytes": len(content), "digest": _digest(content)}
            for item in args.attachments
            for content in (decode_base64(item.content_base64),)
        ],
    }


def view_chat(args: Chat) -> dict[str, Any]:
    """What policy and ledger see of an inference: the judged fields, and the request by digest."""
    request = msgspec.json.encode(args.request, order="deterministic")
    return {
        "model": args.model,
        "max_tokens": args.max_tokens,
        "stream": args.stream,
        "request_bytes": len(request),
        "request_digest": _digest(request),
    }


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def outgoing(args: Any) -> bytes | None:
    """The bytes that leave the sandbox with an action, for comparison with what must not leave; None if none do."""
    match args:
        case SendEmail():
            parts = [args.subject.encode(), args.body.encode()]
            parts += [item.name.encode() for item in args.attachments]
            parts += [decode_base64(item.content_base64) for item in args.attachments]
            return b"\n".join(parts)
        case StartCompute():
            return None if args.input is None else args.input.encode()  # commands are listed to the letter
        case Outgoing():
            return args.payload()
        case _:
            return None
