"""The tools gateway: one HTTP request, one call.

    GET  /v1/tools            {"tools": [{"name", "description", "parameters"}]}   what the mandate grants
    POST /v1/tools/{name}     arguments → {"result": {...}, "decision_id"}
    GET  /v1/decisions/{id}   what became of a call that was held: as the call itself would be answered now
    GET  /healthz             {"status": "ok"}

Everything else is `{"error": {"code", "message", "reasons": [{"code", "message"}], "decision_id", "retry_after"}}`.
A POST with an `Idempotency-Key` is done once, however often it is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from safebox.firewall.core.action import KEY_MAX, Call
from safebox.firewall.core.mandate import Mandate
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.core.tools import TOOLS, Caller, Tool, parameters_schema
from safebox.firewall.errors import CallerError
from safebox.firewall.gateways.body import read_json
from safebox.firewall.gateways.exchange import (
    NOT_FOUND,
    WRONG_METHOD,
    Exchange,
    Header,
    http_status,
    retry_after,
    retry_header,
)
from safebox.firewall.gateways.limits import TOOLS_BODY_MAX
from safebox.firewall.ports import Desk

_PREFIX: Final = "/v1/tools/"
_DECISIONS: Final = "/v1/decisions/"


class ToolsGateway:
    """Offers the tools a run's mandate grants."""

    name = "tools"
    body_max = TOOLS_BODY_MAX

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._shown = {tool.name: _shown(tool) for tool in TOOLS.values() if tool.listed}

    async def serve(self, run: str, exchange: Exchange, body: bytes) -> None:
        """Answer one request of a run."""
        path = exchange.path
        if path.startswith(_PREFIX):
            reply = await self._call(run, path.removeprefix(_PREFIX), exchange, body)
            await self._answer(exchange, reply)
        elif path not in ("/v1/tools", "/healthz") and not path.startswith(_DECISIONS):
            await self._answer(exchange, NOT_FOUND)
        elif exchange.method != "GET":
            await self._answer(exchange, WRONG_METHOD)
        elif path == "/healthz":
            await exchange.respond(200, b'{"status":"ok"}')
        elif path.startswith(_DECISIONS):
            await self._answer(exchange, await self._desk.told(run, path.removeprefix(_DECISIONS)))
        else:
            await exchange.respond(200, self._list(self._desk.view(run).mandate))

    async def _call(self, run: str, name: str, exchange: Exchange, body: bytes) -> Reply:
        if exchange.method != "POST":
            return WRONG_METHOD
        tool = TOOLS.get(name)
        if tool is not None and tool.caller is Caller.AGENT and not tool.listed:
            raise CallerError(f"{name} has a gateway of its own", code="request.unknown_tool")
        key = idempotency_key(exchange)
        arguments = await read_json(body, exchange.gate)
        return await self._desk.handle(Call(run=run, tool=name, arguments=arguments, key=key))

    async def _answer(self, exchange: Exchange, reply: Reply) -> None:
        if reply.status is Status.DONE:
            document = msgspec.json.encode({"result": reply.result, "decision_id": reply.decision_id})
            await exchange.respond(200, document)
        else:
            await exchange.respond(*self.refusal(reply))

    def _list(self, mandate: Mandate) -> bytes:
        granted = [shown for name, shown in self._shown.items() if grants(mandate, TOOLS[name])]
        return msgspec.json.encode({"tools": granted})

    def refusal(self, reply: Reply) -> tuple[int, bytes, Sequence[Header]]:
        """Say a reply that isn't done."""
        error: dict[str, Any] = {
            "code": reply.code,
            "message": reply.message,
            "reasons": reply.reasons,
            "decision_id": reply.decision_id,
            "retry_after": retry_after(reply),
        }
        if reply.result is not None:
            error["known"] = reply.result
        return http_status(reply), msgspec.json.encode({"error": error}), retry_header(reply)


def _shown(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": parameters_schema(tool)}


def grants(mandate: Mandate, tool: Tool) -> bool:
    """Whether the mandate has the section this tool needs. Decides nothing: it only shortens the list."""
    match tool.connector:
        case "mail":
            return mandate.mail is not None and (mandate.mail.inbox or tool.kind != "email_read")
        case "chain":
            return mandate.wallet is not None
        case "signing":
            return mandate.wallet is not None and any(token.payees for token in mandate.tokens or ())
        case "compute":
            return mandate.compute is not None
        case "spawn":
            return mandate.lineage is not None
        case _:
            return False


def idempotency_key(exchange: Exchange) -> str | None:
    """The request's `Idempotency-Key`.

    Raises:
        CallerError: if it is there twice, empty, longer than `KEY_MAX`, or not printable ASCII.
    """
    raw = exchange.header(b"idempotency-key")
    if raw is None:
        return None
    if not 0 < len(raw) <= KEY_MAX or not all(0x20 < byte < 0x7F for byte in raw):  # noqa: PLR2004 - printable ASCII
        raise CallerError(f"an idempotency key is 1 to {KEY_MAX} printable ASCII characters without spaces")
    return raw.decode("ascii")
