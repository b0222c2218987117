"""JSON-RPC 2.0 in words: what a request is, and how answers and refusals are said.

Refusals are JSON-RPC errors with HTTP status 200, which clients report like a node's own. Codes are those of EIP-1474:
-32601 no such method, -32602 parameters, -32000 not done, -32002 try again, -32003 rejected, -32005 wait, or ask for
less. `data` says what the other gateways say: a reason code, all reasons, the decision's id, when to retry.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, cast

import msgspec

from safebox.firewall.core.reply import Reply, Status, invalid
from safebox.firewall.errors import CallerError, EffectError
from safebox.firewall.gateways.exchange import retry_after

PARSE_ERROR, INVALID_REQUEST, NO_METHOD, BAD_PARAMS = -32700, -32600, -32601, -32602
FAILED, UNAVAILABLE, REJECTED, LIMIT = -32000, -32002, -32003, -32005
CODES: Final = {
    Status.DENIED: REJECTED,
    Status.HELD: LIMIT,
    Status.LIMITED: LIMIT,
    Status.INVALID: BAD_PARAMS,
    Status.FAILED: FAILED,
    Status.UNKNOWN: FAILED,
    Status.UNAVAILABLE: UNAVAILABLE,
}
NO_SUCH_METHOD: Final = "request.unknown_method"
TOO_MUCH: Final = "request.asks_too_much"
"""The reason code of a read that is understood and larger than reads may be."""
NO_FILTER: Final = "request.unknown_filter"
FOREIGN: Final = "request.foreign_page"
_SPECIAL: Final = {TOO_MUCH: LIMIT, NO_FILTER: FAILED}
_REFUSED: Final = "transaction."
"""Codes that begin so are about a transaction that was understood, or is of a kind that never will be."""
_MEMBERS: Final = {"jsonrpc", "id", "method", "params"}


class Request(NamedTuple):
    """One call, taken apart."""

    number: str | int
    method: str
    params: list[Any]


class _Answer(msgspec.Struct, frozen=True):
    """A node's answer; `result` and `error` are passed on as they were written."""

    id: int
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def parse_request(asked: object) -> Request:
    """Take a request apart.

    Raises:
        CallerError: if it isn't exactly a JSON-RPC 2.0 request that wants an answer.
    """
    match asked:
        case {"jsonrpc": "2.0", "method": str(method), "id": str(number) | int(number)} if type(number) is not bool:
            members = cast("dict[str, Any]", asked)
            params = members.get("params", [])
            if members.keys() <= _MEMBERS and isinstance(params, list):
                return Request(number, method, params)  # pyright: ignore[reportUnknownArgumentType]
        case _:
            pass
    raise CallerError("this is not a JSON-RPC 2.0 request with an id, a method and a list of params")


def answer(number: str | int | None, **outcome: Any) -> dict[str, Any]:
    """An answer: a `result` or an `error`."""
    return {"jsonrpc": "2.0", "id": number, **outcome}


def told(code: int, reply: Reply, message: str | None = None) -> dict[str, Any]:
    """An error object; `message` is said instead of the reply's code and message."""
    data = {
        "code": reply.code,
        "reasons": reply.reasons,
        "decision_id": reply.decision_id,
        "retry_after": retry_after(reply),
    }
    return {"code": code, "message": message or f"{reply.code}: {reply.message}", "data": data}


def misasked(error: CallerError) -> dict[str, Any]:
    """The error object of a request that makes no sense, or asks for too much."""
    words = error.cause if error.code == NO_FILTER else None
    refused = REJECTED if error.code.startswith(_REFUSED) else BAD_PARAMS
    return told(_SPECIAL.get(error.code, refused), invalid(error), words)


def no_method(method: str) -> dict[str, Any]:
    """The error object of a method there isn't, in a node's own words."""
    message = f"the method {method[:80]} does not exist/is not available"
    return told(NO_METHOD, invalid(CallerError(message, code=NO_SUCH_METHOD)), message)


def read_request(method: str, params: list[Any]) -> bytes:
    """The one form in which a node is asked."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


def node_answer(content: bytes) -> dict[str, Any]:
    """Take a node's answer to `read_request` over, if it is one.

    Raises:
        EffectError: if it is no JSON-RPC answer to it with either a result or an error.
    """
    try:
        answered = msgspec.json.decode(content, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EffectError("the node's answer is not JSON-RPC") from error
    if answered.id != 1:
        raise EffectError("the node answered another question")
    if answered.error is not msgspec.UNSET and bytes(answered.error) != b"null":
        return {"error": answered.error}
    if answered.result is msgspec.UNSET:
        raise EffectError("the node's answer has neither result nor error")
    return {"result": answered.result}
