"""The inference gateway: the part of OpenAI's API that agents use, for models the mandate lists.

    GET  /v1/models, /v1/models/{id}
    POST /v1/chat/completions          whole, or streamed as server-sent events

A streamed answer begins with its first piece, so a refusal is still a proper HTTP status. When the client leaves in
between the call goes on: what the model has been asked is paid and settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from safebox.firewall.core.action import Call
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.errors import CallerError
from safebox.firewall.gateways.body import read_json
from safebox.firewall.gateways.exchange import (
    NOT_FOUND,
    WRONG_METHOD,
    Exchange,
    Header,
    http_status,
    retry_header,
)
from safebox.firewall.gateways.limits import INFERENCE_BODY_MAX
from safebox.firewall.gateways.tools import idempotency_key
from safebox.firewall.ports import Desk

_CHAT: Final = "/v1/chat/completions"
_MODELS: Final = "/v1/models"
_DONE: Final = b"data: [DONE]\n\n"
_EVENTS: Final[tuple[Header, ...]] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
)
_KINDS: Final = {
    Status.DENIED: "permission_denied",
    Status.HELD: "action_held",
    Status.LIMITED: "rate_limit_exceeded",
    Status.INVALID: "invalid_request_error",
    Status.FAILED: "upstream_error",
    Status.UNKNOWN: "upstream_error",
    Status.UNAVAILABLE: "service_unavailable",
}
_HELD_STATUS: Final = 403
"""A 202 would be read as a completion: to OpenAI's clients a held request is a refusal."""
_NOT_AGAIN: Final[Header] = (b"x-should-retry", b"false")
"""OpenAI's clients send again by themselves; this header tells them not to."""


class InferenceGateway:
    """Speaks OpenAI's API."""

    name = "inference"
    body_max = INFERENCE_BODY_MAX

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def serve(self, run: str, exchange: Exchange, body: bytes) -> None:
        """Answer one request of a run."""
        path = exchange.path
        wanted = "POST" if path == _CHAT else "GET"
        if path not in (_CHAT, _MODELS) and not path.startswith(_MODELS + "/"):
            await exchange.respond(*self.refusal(NOT_FOUND))
        elif exchange.method != wanted:
            await exchange.respond(*self.refusal(WRONG_METHOD))
        elif path == _CHAT:
            await self._chat(run, exchange, body)
        else:
            await self._models(run, path, exchange)

    async def _models(self, run: str, path: str, exchange: Exchange) -> None:
        grant = self._desk.view(run).mandate.inference
        listed = [
            {"id": name, "object": "model", "created": 0, "owned_by": "safebox"}
            for name in (grant.models if grant else ())
        ]
        if path == _MODELS:
            await exchange.respond(200, msgspec.json.encode({"object": "list", "data": listed}))
            return
        found = [model for model in listed if model["id"] == path.removeprefix(_MODELS + "/")]
        if not found:
            raise CallerError("there is no such model for this run", code="request.unknown_path")
        await exchange.respond(200, msgspec.json.encode(found[0]))

    async def _chat(self, run: str, exchange: Exchange, body: bytes) -> None:
        key = idempotency_key(exchange)
        request = await read_json(body, exchange.gate, floats=True)
        streamed = isinstance(request, dict) and request.get("stream") is True  # pyright: ignore[reportUnknownMemberType]
        stream = _Stream(exchange)
        call = Call(run=run, tool="inference.chat", arguments=request, key=key)
        reply = await self._desk.handle(call, stream.deliver if streamed else None)
        if exchange.started:
            await stream.end(None if reply.status is Status.DONE else self.refusal(reply)[1])
        elif reply.status is not Status.DONE:
            await exchange.respond(*self.refusal(reply))
        elif not streamed:
            headers = [(b"x-request-id", (reply.decision_id or "").encode())]
            await exchange.respond(200, msgspec.json.encode((reply.result or {}).get("response", {})), headers)
        elif key is None:
            await stream.end(None)
        else:
            raise CallerError("this answer was streamed before and is not kept", code="request.idempotency_conflict")

    def refusal(self, reply: Reply) -> tuple[int, bytes, Sequence[Header]]:
        """Say a reply that isn't done, as OpenAI's API does."""
        error = {
            "message": reply.message,
            "type": _KINDS[reply.status],
            "param": None,
            "code": reply.code,
            "decision_id": reply.decision_id,
            "reasons": reply.reasons,
        }
        status = _HELD_STATUS if reply.status is Status.HELD else http_status(reply)
        headers = retry_header(reply)
        if reply.status is not Status.UNAVAILABLE and reply.code != "firewall.overloaded":
            headers.append(_NOT_AGAIN)
        return status, msgspec.json.encode({"error": error}), headers


class _Stream:
    """Server-sent events, begun with the first piece."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def deliver(self, payload: bytes) -> None:
        """Send one piece; a line break inside it can't end the event early."""
        await self._start()
        lines = payload.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        await self._exchange.write(b"".join(b"data: %b\n" % line for line in lines) + b"\n")

    async def end(self, error: bytes | None) -> None:
        """End with the mark all clients know, or with an error they raise."""
        if error is None:
            await self._start()
            await self._exchange.write(_DONE)
        else:
            await self.deliver(error)
        await self._exchange.end_stream()

    async def _start(self) -> None:
        if not self._exchange.started:
            await self._exchange.start_stream(_EVENTS)
