"""One WebSocket (RFC 6455) of one run: `websockets`' protocol without I/O, bounded like everything from a sandbox.

Rule 1: one task reads, a few frames at a time, each time when it is the run's turn: the smallest frames, ten thousand
        in one packet, can't hold up the loop.
Rule 2: so many messages are worked on at once, in so many fragments of so many bytes; the next waits in the kernel.
Rule 3: nothing is compressed, so a message is as long as what carries it.
Rule 4: whoever sends nothing for a while is asked whether it is there; whoever doesn't read is cut.
Rule 5: when the connection ends calls under way go on to be settled, unheard; subscriptions end.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, NamedTuple, Protocol

from websockets.frames import BINARY, CONT, TEXT, CloseCode, Frame
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from safebox.firewall.core.reply import Reply, could_not, invalid
from safebox.firewall.errors import CallerError, FirewallError
from safebox.firewall.gateways.exchange import BROKEN, Endpoint, overloaded
from safebox.firewall.gateways.gate import Gate, Overloaded
from safebox.firewall.gateways.limits import CONTROLS_MAX, FRAGMENTS_MAX, FRAMES_AT_ONCE, MESSAGES_AT_ONCE, Limits
from safebox.firewall.metrics import Metrics

_log: Final = logging.getLogger(__name__)
_NEVER: Final = math.inf
_DATA: Final = (TEXT, BINARY, CONT)
_SHORTEST, _MASK, _HEAD_MAX = 2, 4, 14
_LENGTHS: Final = {126: 2, 127: 8}
"""Bytes of a length that doesn't fit into seven bits."""
_QUIET: Final = logging.Logger("websockets of sandboxes", logging.CRITICAL + 1)
"""Whose faults are an agent's, and no news to the owner."""


class Conversation(Protocol):
    """What answers the messages of one connection."""

    @property
    def busy(self) -> bool:
        """Whether there is news to wait for."""
        ...

    async def answer(self, message: bytes, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Answer one message.

        Raises:
            CallerError: if it can't be understood.
            FirewallError: if it can't be answered.
        """
        ...

    def close(self) -> None:
        """The connection has ended."""
        ...


Converse = Callable[[Callable[[bytes], Awaitable[None]], Callable[[], None]], Conversation]
"""Begins a conversation, given what sends a message and what ends the connection."""


class Line(NamedTuple):
    """Whose connection it is, and what bounds it."""

    endpoint: Endpoint
    gate: Gate
    limits: Limits
    metrics: Metrics
    tasks: set[asyncio.Task[None]]


class _Cutter:
    """Cuts a stream into pieces of a few frames by what they say of their length (RFC 6455, 5.2); it checks nothing."""

    def __init__(self) -> None:
        self._left = 0

    def cut(self, stream: bytearray) -> bytes:
        """Take the next piece; empty if what is there is no more than the beginning of a frame's head."""
        end = 0
        for _ in range(FRAMES_AT_ONCE):
            self._left = self._left or _frame_size(stream[end : end + _HEAD_MAX])
            step = min(self._left, len(stream) - end)
            end += step
            self._left -= step
            if self._left or end == len(stream) or not step:
                break
        piece = bytes(stream[:end])
        del stream[:end]
        return piece


def _frame_size(head: bytearray) -> int:
    """How long the frame is that begins like this, its head included; 0 if that isn't said yet."""
    if len(head) < _SHORTEST:
        return 0
    kind = head[1] & 0x7F
    more = _LENGTHS.get(kind, 0)
    if len(head) < _SHORTEST + more:
        return 0
    length = int.from_bytes(head[2 : 2 + more]) if more else kind
    return _SHORTEST + more + (_MASK if head[1] & 0x80 else 0) + length


class WebSocket(asyncio.Protocol):
    """One connection, after its HTTP request. `open` it; False means the handshake is none."""

    def __init__(self, line: Line, transport: asyncio.Transport) -> None:
        self.idle_since: float | None = None
        self.deadline = _NEVER
        self.write_deadline = _NEVER
        self._line = line
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._wire = ServerProtocol(max_size=line.endpoint.body_max, logger=_QUIET)
        self._slots = asyncio.Semaphore(MESSAGES_AT_ONCE)
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._backlog = bytearray()
        self._cutter = _Cutter()
        self._message = bytearray()
        self._fragments = 0
        self._held = 0
        self._controls = 0
        self._second = 0.0
        self._asked_whether_there = False
        self._reader: asyncio.Task[None] | None = None

    def open(self, request: bytes, converse: Converse) -> bool:
        """Answer the HTTP request that asks for this connection, and begin to read."""
        self._wire.receive_data(request)
        events = self._wire.events_received()
        if len(events) != 1 or not isinstance(events[0], Request):
            return False
        response = self._wire.accept(events[0])
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            return False
        self._wire.send_response(response)
        self._conversation = converse(self.send, self.end)
        self._flush()
        self._rearm()
        self._reader = self._loop.create_task(self._read())
        return True

    def data_received(self, data: bytes) -> None:
        """Keep what came; no more is taken before it was read."""
        self._backlog += data
        self._transport.pause_reading()
        self._arrived.set()

    def eof_received(self) -> bool:
        """A client that stops sending has ended the connection."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything but calls under way."""
        self._line.gate.leave(self)
        self.deadline = self.write_deadline = _NEVER
        self._writable.set()
        self._line.gate.release(self._held)
        self._held = 0
        if self._reader is not None:
            self._reader.cancel()
        self._conversation.close()

    def pause_writing(self) -> None:
        """The client is slow to read: it has so long."""
        self.write_deadline = self._loop.time() + self._line.limits.write
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has read."""
        self.write_deadline = _NEVER
        self._writable.set()

    def watch(self, now: float) -> None:
        """Cut this connection if it is past a deadline; one that was only silent is asked first."""
        if now >= self.write_deadline:
            self.cut()
        elif now >= self.deadline:
            begun = self._fragments or self._unfinished()
            if begun or self._asked_whether_there or self._wire.state is not OPEN:
                self.cut()
                return
            self._asked_whether_there = True
            self._wire.send_ping(b"")
            self._flush()
            self.deadline = now + self._line.limits.write

    def cut(self) -> None:
        """Close now."""
        self._transport.abort()

    def end(self, code: int = CloseCode.GOING_AWAY, reason: str = "") -> None:
        """Close in order, so that the client hears why."""
        if self._wire.state is OPEN:
            self._wire.fail(code, reason)
            self._flush()

    async def send(self, message: bytes) -> None:
        """Send a message, when the client has read the one before; nothing once it is gone."""
        await self._writable.wait()
        if self._wire.state is OPEN and not self._transport.is_closing():
            self._wire.send_text(message)
            self._flush()

    async def _read(self) -> None:
        """Take apart what came, in turn with the run's other requests and with other runs."""
        while not self._transport.is_closing():
            await self._arrived.wait()
            await self._writable.wait()
            await asyncio.sleep(0)  # what else is ready goes first, also where nobody else asks anything
            if self._line.gate.step is not None:
                await self._line.gate.step()
            piece = self._cutter.cut(self._backlog)
            self._asked_whether_there = False
            self._wire.receive_data(piece)
            try:
                for event in self._wire.events_received():
                    if isinstance(event, Frame):
                        await self._take(event)
                self._count()
            except (CallerError, Overloaded) as error:
                self.end(CloseCode.POLICY_VIOLATION, error.cause)
            self._flush()
            self._rearm()
            if not piece or not self._backlog:
                self._arrived.clear()
                if not self._transport.is_closing():
                    self._transport.resume_reading()

    async def _take(self, frame: Frame) -> None:
        """Add a frame to its message, and begin to answer a whole one as soon as there is a place for it.

        Raises:
            CallerError: if it is in too many pieces.
            Overloaded: if the run holds too much already.
        """
        if self._wire.state is not OPEN:
            return
        if frame.opcode not in _DATA:
            self._count_control()
            return
        self._fragments += 1
        if self._fragments > FRAGMENTS_MAX:
            raise CallerError("a message comes in too many fragments")
        self._message += frame.data
        if not frame.fin:
            return
        message, self._message, self._fragments = bytes(self._message), bytearray(), 0
        await self._slots.acquire()
        if self._line.gate.step is not None:
            await self._line.gate.step()
        try:
            self._line.gate.hold(len(message))
        except Overloaded:
            self._slots.release()
            raise
        task = self._loop.create_task(self._answer(message))
        self._line.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        """Forget a call; if the gateway broke over it, the agent gets no traceback, the owner does."""
        self._line.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("a gateway failed", exc_info=task.exception())
            self.end(CloseCode.INTERNAL_ERROR, BROKEN.message)

    def _count_control(self) -> None:
        now = self._loop.time()
        if now >= self._second + 1:
            self._second, self._controls = now, 0
        self._controls += 1
        if self._controls > CONTROLS_MAX:
            raise CallerError("too many pings")

    def _unfinished(self) -> int:
        """Bytes of a message that isn't whole yet."""
        return len(self._backlog) + len(self._message) + len(self._wire.reader.buffer)

    def _count(self) -> None:
        """Count what is unfinished against the run.

        Raises:
            Overloaded: if the run holds too much already.
        """
        size = self._unfinished()
        self._line.gate.release(self._held)
        self._held = 0
        self._line.gate.hold(size)
        self._held = size

    async def _answer(self, message: bytes) -> None:
        line = self._line
        self.idle_since = None
        try:
            async with line.gate:
                await self._conversation.answer(message, self.send)
            line.metrics.request(line.endpoint.name, 200)
        except CallerError as error:
            await self._refuse(invalid(error))
        except Overloaded as error:
            await self._refuse(overloaded(error))
        except FirewallError as error:
            await self._refuse(could_not(error))
        finally:
            line.gate.release(len(message))
            self._slots.release()
            self._rearm()

    async def _refuse(self, reply: Reply) -> None:
        status, document, _ = self._line.endpoint.refusal(reply)
        self._line.metrics.request(self._line.endpoint.name, status)
        await self.send(document)

    def _rearm(self) -> None:
        """Set the deadline: a message begun has so long, silence so long before it is asked about."""
        if self._wire.state is not OPEN:
            return
        now = self._loop.time()
        if self._fragments or self._unfinished():
            self.deadline = min(self.deadline, now + self._line.limits.body)
            self.idle_since = None
            return
        self.deadline = now + self._line.limits.idle
        at_work = self._slots.locked() or self._conversation.busy
        self.idle_since = None if at_work else now

    def _flush(self) -> None:
        """Write what the protocol has to say; its end of the stream is the connection's."""
        if self._transport.is_closing():
            return
        for piece in self._wire.data_to_send():
            if piece:
                self._transport.write(piece)
            else:
                self.deadline = self._loop.time() + self._line.limits.write
                self._transport.close()
