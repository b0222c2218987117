"""One HTTP request and its answer, over raw ASGI.

A refusal is always a `Reply`; each gateway says it in its protocol's own words and with the statuses below.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final, Protocol

from safebox.firewall.core.reply import Reply, Status, could_not, invalid
from safebox.firewall.errors import CallerError, FirewallError
from safebox.firewall.gateways.gate import Gate, Overloaded
from safebox.firewall.gateways.limits import DISCARD_BYTES_MAX, RETRY_AFTER_S
from safebox.firewall.metrics import Metrics

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON: Final[Header] = (b"content-type", b"application/json")
CLOSE: Final[Header] = (b"connection", b"close")

_STATUSES: Final = {
    Status.DONE: 200,
    Status.DENIED: 403,
    Status.HELD: 202,
    Status.LIMITED: 429,
    Status.INVALID: 400,
    Status.FAILED: 502,
    Status.UNKNOWN: 504,
    Status.UNAVAILABLE: 503,
}
_INVALID_STATUSES: Final = {
    "request.unknown_tool": 404,
    "request.unknown_path": 404,
    "request.unknown_decision": 404,
    "request.wrong_method": 405,
    "request.idempotency_conflict": 409,
    "request.too_large": 413,
    "request.head_too_large": 431,
    "request.too_slow": 408,
}
NOT_FOUND: Final = Reply(status=Status.INVALID, code="request.unknown_path", message="there is nothing at this path")
WRONG_METHOD: Final = Reply(status=Status.INVALID, code="request.wrong_method", message="not with this method")
BROKEN: Final = Reply(
    status=Status.UNKNOWN,
    code="firewall.effect_unknown",
    message="the firewall failed; ask its owner what became of this",
)
_log: Final = logging.getLogger(__name__)


class Gone(Exception):
    """The client has left."""


class Endpoint(Protocol):
    """One protocol spoken on a listener."""

    name: str
    body_max: int

    async def serve(self, run: str, exchange: Exchange, body: bytes) -> None:
        """Answer one request of a run.

        Raises:
            CallerError: if the request can't be understood.
        """
        ...

    def refusal(self, reply: Reply) -> tuple[int, bytes, Sequence[Header]]:
        """Say a reply that isn't done: HTTP status, JSON document, further headers."""
        ...


def http_status(reply: Reply) -> int:
    """The HTTP status of a reply."""
    if reply.status is Status.INVALID:
        return _INVALID_STATUSES.get(reply.code, 400)
    return _STATUSES[reply.status]


def retry_after(reply: Reply) -> int | None:
    """After how many seconds asking again may help, if at all."""
    if reply.status is Status.UNAVAILABLE:
        return reply.retry_after_s or RETRY_AFTER_S
    return reply.retry_after_s


def retry_header(reply: Reply) -> list[Header]:
    """`Retry-After`, if there is something to wait for."""
    seconds = retry_after(reply)
    return [] if seconds is None else [(b"retry-after", str(seconds).encode())]


def overloaded(error: Overloaded) -> Reply:
    """Say that this run asks for too much at once."""
    return Reply(status=Status.LIMITED, code=error.code, message=error.cause, retry_after_s=RETRY_AFTER_S)


class Exchange:
    """One request: what was asked, and the one answer to it."""

    __slots__ = ("_gateway", "_metrics", "_more", "_receive", "_scope", "_send", "gate", "started")

    def __init__(
        self,
        scope: MutableMapping[str, Any],
        receive: Receive,
        send: Send,
        *,
        gateway: str,
        gate: Gate,
        metrics: Metrics,
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._more = True
        self._gateway = gateway
        self._metrics = metrics
        self.gate = gate
        self.started = False

    @property
    def method(self) -> str:
        """The request's method, in upper case."""
        return str(self._scope["method"])

    @property
    def path(self) -> str:
        """The request's path, decoded."""
        return str(self._scope["path"])

    def header(self, name: bytes) -> bytes | None:
        """A header's value by its lower-case name.

        Raises:
            CallerError: if it is there more than once.
        """
        found = [value for field, value in self._scope["headers"] if field == name]
        if len(found) > 1:
            raise CallerError(f"the header {name.decode()} is there twice")
        return found[0] if found else None

    async def read(self, limit: int) -> bytes:
        """Read the body. What it holds is counted against the run until `release`.

        Raises:
            CallerError: if it is longer than `limit` bytes.
            Overloaded: if the run already holds too much.
            Gone: if the client left before its end.
        """
        announced = int(self.header(b"content-length") or b"0")
        if announced > limit and (announced > DISCARD_BYTES_MAX or self.header(b"expect") is not None):
            raise _too_large(limit)
        body = bytearray()
        try:
            while self._more:
                part = await self._part()
                if len(body) + len(part) > limit:
                    await self._discard()
                    raise _too_large(limit)
                self.gate.hold(len(part))
                body += part
        except (CallerError, Overloaded, Gone):
            self.gate.release(len(body))
            raise
        return bytes(body)

    async def _part(self) -> bytes:
        event = await self._receive()
        if event["type"] != "http.request":
            raise Gone
        self._more = event.get("more_body", False)
        part: bytes = event["body"]
        return part

    async def _discard(self) -> None:
        dropped = 0
        while self._more and dropped < DISCARD_BYTES_MAX:
            dropped += len(await self._part())

    async def respond(self, status: int, document: bytes, headers: Sequence[Header] = ()) -> None:
        """Answer with one JSON document (or another type, if `headers` begin with one)."""
        self.started = True
        self._metrics.request(self._gateway, status)
        kind = () if headers and headers[0][0] == b"content-type" else (JSON,)
        fields = [*kind, (b"content-length", str(len(document)).encode()), *headers]
        await self._send({"type": "http.response.start", "status": status, "headers": fields})
        await self._send({"type": "http.response.body", "body": document})

    async def start_stream(self, headers: Sequence[Header]) -> None:
        """Begin an answer that comes in pieces."""
        self.started = True
        self._metrics.request(self._gateway, 200)
        await self._send({"type": "http.response.start", "status": 200, "headers": list(headers)})

    async def write(self, piece: bytes) -> None:
        """Send a piece; waits while the client is slow, does nothing once it is gone."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end_stream(self) -> None:
        """Say that all pieces were sent."""
        await self._send({"type": "http.response.body", "body": b""})


def _too_large(limit: int) -> CallerError:
    return CallerError(f"the body is longer than {limit} bytes", code="request.too_large")


def application(endpoint: Endpoint, run: str, gate: Gate, metrics: Metrics) -> Application:
    """Bind an endpoint to one run: who asks is decided here, once, before any request is read."""

    async def answer(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, gateway=endpoint.name, gate=gate, metrics=metrics)
        try:
            if gate.step is not None:
                await gate.step()
            await _answer(endpoint, run, exchange)
        except Gone:
            return
        except Exception:  # noqa: BLE001 - outermost: the agent gets no traceback, the owner does
            _log.exception("a gateway failed")
            await _refuse(endpoint, exchange, BROKEN)

    return answer


async def _answer(endpoint: Endpoint, run: str, exchange: Exchange) -> None:
    gate = exchange.gate
    try:
        body = await exchange.read(endpoint.body_max)
    except CallerError as error:
        await _refuse(endpoint, exchange, invalid(error), CLOSE)
        return
    except Overloaded as error:
        await _refuse(endpoint, exchange, overloaded(error), CLOSE)
        return
    try:
        async with gate:
            await endpoint.serve(run, exchange, body)
    except CallerError as error:
        await _refuse(endpoint, exchange, invalid(error))
    except Overloaded as error:
        await _refuse(endpoint, exchange, overloaded(error))
    except FirewallError as error:  # the run has ended
        await _refuse(endpoint, exchange, could_not(error))
    finally:
        gate.release(len(body))


async def _refuse(endpoint: Endpoint, exchange: Exchange, reply: Reply, *more: Header) -> None:
    if exchange.started:
        raise Gone  # a half-sent answer can't be taken back; uvicorn closes the connection
    status, document, headers = endpoint.refusal(reply)
    await exchange.respond(status, document, [*headers, *more])
