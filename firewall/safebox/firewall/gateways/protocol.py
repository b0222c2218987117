"""HTTP/1.1 on one connection from a sandbox: uvicorn's protocol, made wary.

uvicorn trusts its clients with unlimited headers, any number of requests sent ahead, and all the time in the world.
Here a connection is bounded in each of these, in one place, and says so in the gateway's own error shape.

Rule 1: no timer per request. A connection knows its deadline; the server looks at all of them once a second.
Rule 2: a request that could be read in two ways (lengths, trailers, upgrades) is not read at all.
Rule 3: what was asked before the fault is still answered; after it the connection closes.
Rule 4: a connection becomes a WebSocket with its first request or never, and only where its gateway speaks one.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.gateways.exchange import Endpoint, overloaded
from safebox.firewall.gateways.gate import Gate, Overloaded
from safebox.firewall.gateways.limits import FIELDS_MAX, HEAD_BYTES_MAX, PIPELINE_MAX, Limits
from safebox.firewall.metrics import Metrics

if TYPE_CHECKING:
    from safebox.firewall.gateways.websocket import Conversation

_MALFORMED: Final = Reply(
    status=Status.INVALID, code="request.invalid", message="this is not one plain request of HTTP/1.1"
)
_HEAD_TOO_LARGE: Final = Reply(
    status=Status.INVALID, code="request.head_too_large", message="the headers are too large"
)
_TOO_SLOW: Final = Reply(status=Status.INVALID, code="request.too_slow", message="the request took too long to arrive")
_CROWDED: Final = overloaded(Overloaded("this run has too many connections open; nothing was done"))
_NEVER: Final = math.inf


@runtime_checkable
class SocketEndpoint(Endpoint, Protocol):
    """An endpoint that also speaks over WebSockets."""

    def unwelcome(self, path: str, origin: bytes | None) -> Reply | None:
        """Why a WebSocket isn't opened; None if it is."""
        ...

    def converse(
        self, run: str, gate: Gate, send: Callable[[bytes], Awaitable[None]], end: Callable[[], None]
    ) -> Conversation:
        """What answers the messages of a new WebSocket of a run."""
        ...


class _FaultError(Exception):
    """Raised inside the parser to stop it."""


class GatewayProtocol(HttpToolsProtocol):
    """One connection of one run."""

    def __init__(
        self,
        config: Config,
        state: ServerState,
        *,
        endpoint: Endpoint,
        run: str,
        gate: Gate,
        share: int,
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        super().__init__(config, state, {})
        self.idle_since: float | None = None
        self.deadline = _NEVER
        self.write_deadline = _NEVER
        self._endpoint = endpoint
        self._run = run
        self._gate = gate
        self._share = share
        self._limits = limits
        self._metrics = metrics
        self._open = 0
        self._in_head = False
        self._heads = 0
        self._head_bytes = 0
        self._fault: Reply | None = None
        self._switching = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place in the run's share, or say that there is none."""
        super().connection_made(transport)
        raw: socket.socket | None = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rearm()
        if not self._gate.enter(self, self._share):
            self._fault = _CROWDED
            self._close_with(_CROWDED)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back; a call that was asked for goes on."""
        self._gate.leave(self)
        self.deadline = self.write_deadline = _NEVER
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, within the bounds of a head; on the first fault stop reading for good."""
        if self._fault is not None or self.transport.is_closing():
            return
        head = self._heads if self._in_head else None
        try:
            self.parser.feed_data(data)  # pyright: ignore[reportOptionalMemberAccess]
        except httptools.HttpParserUpgrade as upgrade:
            if not self._switching or not self._switch(data[upgrade.args[0] :]):
                self._stop(self._fault or _MALFORMED)
            return
        except httptools.HttpParserError:
            self._stop(self._fault or _MALFORMED)
            return
        if self._in_head and head == self._heads:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._stop(_HEAD_TOO_LARGE)
        elif self._in_head and not self._open:
            self._rearm()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Let a client that only stopped sending have its answer; anything unfinished is cut."""
        if not self._open or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        """Begin to count a head."""
        self._in_head = True
        self._heads += 1
        self._head_bytes = 0
        self.idle_since = None
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header field; refuse trailers, which would add headers to a request already begun."""
        if not self._in_head:
            raise _FaultError("trailers are not accepted")
        self._count_head(len(name) + len(value))
        if len(self.headers) >= FIELDS_MAX:
            self._fault = _HEAD_TOO_LARGE
            raise _FaultError
        super().on_header(name, value)

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES_MAX:
            self._fault = _HEAD_TOO_LARGE
            raise _FaultError

    def on_headers_complete(self) -> None:
        """Start the request, unless it wants another protocol or too many are waiting."""
        self._in_head = False
        if self._asks_for_socket():
            self._switching = True
            return
        if len(self.pipeline) >= PIPELINE_MAX or not self._plain_framing():
            raise _FaultError
        super().on_headers_complete()
        self._open += 1
        self._rearm()

    def _plain_framing(self) -> bool:
        """One protocol, at most one length in digits alone, and no coding beside it."""
        parser = self.parser
        if parser is None or parser.should_upgrade():  # pyright: ignore[reportUnnecessaryComparison]
            return False
        lengths = [value for name, value in self.headers if name == b"content-length"]
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if codings:
            return (
                not lengths and parser.get_http_version() == "1.1" and [one.lower() for one in codings] == [b"chunked"]
            )
        return len(lengths) <= 1 and all(value.isdigit() for value in lengths)

    def _asks_for_socket(self) -> bool:
        """Whether a connection's first request, without a body, asks for a WebSocket that this gateway speaks."""
        parser = self.parser
        if parser is None or not parser.should_upgrade() or self._heads > 1:  # pyright: ignore[reportUnnecessaryComparison]
            return False
        names = {name for name, _ in self.headers}
        if parser.get_http_version() != "1.1":
            return False
        wants = [value.lower() for name, value in self.headers if name == b"upgrade"] == [b"websocket"]
        bare = parser.get_method() == b"GET" and not names & {b"content-length", b"transfer-encoding", b"expect"}
        return wants and bare and isinstance(self._endpoint, SocketEndpoint)

    def _switch(self, rest: bytes) -> bool:
        """Hand the connection over to a WebSocket; False if the request asks for none in the right words."""
        from safebox.firewall.gateways.websocket import Line, WebSocket  # loaded after the start

        endpoint = self._endpoint
        assert isinstance(endpoint, SocketEndpoint)  # noqa: S101 - it was when the headers ended
        origins = [value for name, value in self.headers if name == b"origin"]
        try:
            path = (httptools.parse_url(self.url).path or b"").decode("ascii", "replace")
        except httptools.HttpParserInvalidURLError:
            return False
        self._fault = endpoint.unwelcome(path, b", ".join(origins) if origins else None)
        if self._fault is not None:
            return False
        line = Line(endpoint, self._gate, self._limits, self._metrics, self.tasks)
        socket = WebSocket(line, self.transport)
        fields = b"".join(name + b": " + value + b"\r\n" for name, value in self.headers)
        if not socket.open(b"GET / HTTP/1.1\r\n" + fields + b"\r\n", partial(endpoint.converse, self._run, self._gate)):
            return False
        self._metrics.request(endpoint.name, 101)
        self.connections.discard(self)
        self._gate.hand_over(self, socket)
        self.deadline = _NEVER
        self.transport.set_protocol(socket)
        if rest:
            socket.data_received(rest)
        return True

    def on_message_complete(self) -> None:
        """The body is there: the time is the gateway's now."""
        if self._switching:
            return
        super().on_message_complete()
        self._rearm()

    def on_response_complete(self) -> None:
        """Go on with what was sent ahead, or wait for the next request."""
        self._open -= 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._fault is not None:
            self._close_with(self._fault)
            return
        self.flow.resume_reading()
        self._rearm()

    def pause_writing(self) -> None:
        """The client is slow to read: it has so long."""
        self.write_deadline = self.loop.time() + self._limits.write
        super().pause_writing()

    def resume_writing(self) -> None:
        """It has read."""
        self.write_deadline = _NEVER
        super().resume_writing()

    def watch(self, now: float) -> None:
        """Cut this connection if it is past a deadline; one that trickles a request in hears why."""
        if now >= self.write_deadline:
            self.cut()
        elif now >= self.deadline:
            if self.idle_since is not None or self._fault is not None:
                self.cut()
                return
            self._fault = _TOO_SLOW
            self._close_with(_TOO_SLOW)
            self.deadline = now + self._limits.write

    def cut(self) -> None:
        """Close now; what the client hasn't read by now it won't."""
        self.transport.abort()

    def _rearm(self) -> None:
        """Set the deadline from what is waited for: the answer, a body, a head, or nothing."""
        now = self.loop.time()
        self.idle_since = None
        if self._open:
            reading = self._open == 1 and self.cycle.more_body
            self.deadline = now + self._limits.body if reading else _NEVER
        elif self._in_head:
            self.deadline = now + self._limits.head
        else:
            self.idle_since = now
            self.deadline = now + self._limits.idle

    def _stop(self, fault: Reply) -> None:
        """Read no more. Answers under way are finished first, then the fault is told."""
        self._fault = fault
        self.flow.pause_reading()
        if self._open and self.cycle.more_body:  # the faulty one itself: it never becomes a call
            self._open -= 1
            if self.pipeline:
                self.pipeline.popleft()
        if not self._open:
            self._close_with(fault)

    def _close_with(self, fault: Reply) -> None:
        """Write a refusal without a request to go with it, and close."""
        status, document, headers = self._endpoint.refusal(fault)
        self._metrics.request(self._endpoint.name, status)
        length = str(len(document)).encode()
        fields = [
            (b"content-type", b"application/json"),
            (b"content-length", length),
            (b"connection", b"close"),
            *headers,
        ]
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
        if not self.transport.is_closing():
            self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + document)
            self.transport.close()
