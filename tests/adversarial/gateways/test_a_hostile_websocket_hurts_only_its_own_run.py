"""Slow, endless, tiny and greedy messages over WebSockets: bounded, and other runs are answered meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from safebox.firewall.gateways.limits import (
    CONNECTIONS_MAX,
    ETHEREUM_BODY_MAX,
    FRAGMENTS_MAX,
    HELD_BYTES_MAX,
    MESSAGES_AT_ONCE,
    Limits,
)
from tests.twin_chain import TwinChain
from tests.twin_desk import Served, again_and_again, raw, serving, two_runs

IMPATIENT = Limits(head=0.3, body=0.3, idle=0.4, write=0.3, watch=0.02)
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
CALL = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
TEXT, CONT, PING, CLOSE, FIN = 0x1, 0x0, 0x9, 0x8, 0x80


def frame(opcode: int, data: bytes = b"", *, masked: bool = True, length: int | None = None) -> bytes:
    """One frame, with a mask of zeros; `length` is what it says of its length."""
    size, mask = len(data) if length is None else length, 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", opcode, mask | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", opcode, mask | 126, size)
    else:
        head = struct.pack("!BBQ", opcode, mask | 127, size)
    return head + (bytes(4) if masked else b"") + data


@pytest.fixture
def chain() -> TwinChain:
    return TwinChain()


@pytest.fixture
async def served(chain: TwinChain) -> AsyncIterator[Served]:
    async with serving(two_runs(), chain=chain, poll=0.01) as server:
        yield server


@pytest.fixture
async def impatient(chain: TwinChain) -> AsyncIterator[Served]:
    async with serving(two_runs(), chain=chain, limits=IMPATIENT, poll=0.01) as server:
        yield server


def address(served: Served, run: str = "run_1") -> str:
    return served.url("ethereum", run).replace("http", "ws")


@contextlib.asynccontextmanager
async def neighbour(served: Served) -> AsyncGenerator[list[float]]:
    """Ask in the other run over and over, and say how long each answer took; none may fail."""
    async with connect(address(served, "run_2")) as wire:

        async def ask() -> None:
            await wire.send(CALL.decode())
            assert "result" in json.loads(await wire.recv())

        async with again_and_again(ask) as took:
            yield took


async def sent(served: Served, data: bytes, *, seconds: float = 5) -> bytes:
    """Open a WebSocket, send bytes as they are, and return what came after the handshake until the end."""
    answer = await raw(served.port("ethereum"), UPGRADE + data, seconds=seconds)
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    return rest


def closed_with(rest: bytes) -> int:
    """The code of the close frame at the end."""
    at = rest.rindex(bytes([FIN | CLOSE]))
    return int.from_bytes(rest[at + 2 : at + 4])


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(15):
        while not true():  # noqa: ASYNC110 - what is waited for says nothing by itself
            await asyncio.sleep(0.01)


async def until_idle(served: Served) -> None:
    gate = served.server.gate("run_1")
    await until(lambda: not gate.connections and not gate.held)


# --- slow ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (frame(FIN | TEXT, b"", length=100), b"x"),
        (frame(TEXT, b"{"), frame(CONT, b" ")),
        (frame(TEXT, b"{"), frame(FIN | PING)),
    ],
)
async def test_a_message_that_trickles_in_is_cut_off(impatient: Served, start: bytes, piece: bytes) -> None:
    async def trickle() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port("ethereum"))
        writer.write(UPGRADE + start)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(5):
                while not reader.at_eof():
                    if not writer.is_closing():
                        writer.write(piece)
                        await writer.drain()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(reader.read(65536), 0.02)
        writer.close()

    async with neighbour(impatient):
        await asyncio.gather(*(trickle() for _ in range(10)))
    await until_idle(impatient)


async def test_a_silent_websocket_is_asked_whether_it_is_there_and_cut_if_not(impatient: Served) -> None:
    rest = await sent(impatient, b"")
    assert rest == frame(FIN | PING, masked=False)
    async with connect(address(impatient), ping_interval=None) as wire:  # which answers pings by itself
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wire.recv(), 4 * IMPATIENT.idle)
        await wire.send(CALL.decode())
        assert "result" in json.loads(await wire.recv())


async def test_a_client_that_does_not_read_is_cut_and_its_subscriptions_end(
    impatient: Served, chain: TwinChain
) -> None:
    chain.data = "0x" + "00" * 100_000
    ask = b'{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["logs"]}'
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port("ethereum"), limit=1)
    writer.write(UPGRADE + frame(FIN | TEXT, ask) * 4)
    async with neighbour(impatient):
        async with asyncio.timeout(10):
            while impatient.server.gate("run_1").connections or not chain.asked:
                chain.grow(2)
                await asyncio.sleep(0.01)
    writer.close()
    del reader
    await until_idle(impatient)


async def flooding(served: Served, flood: bytes, seconds: float) -> None:
    """Send over and over, reading nothing, on a new connection whenever one was cut."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                _, writer = await asyncio.open_connection("127.0.0.1", served.port("ethereum"))
                try:
                    writer.write(UPGRADE)
                    while not writer.is_closing():
                        writer.write(flood)
                        await writer.drain()
                except ConnectionError:
                    await asyncio.sleep(0)
                finally:
                    writer.transport.abort()


# --- many and tiny ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flood",
    [
        frame(FIN | PING) * 50_000,
        frame(FIN | TEXT) * 5_000,
        frame(FIN | TEXT, b"x") * 5_000,
        frame(FIN | TEXT, CALL) * 5_000,
        frame(0x8A) * 50_000,
    ],
)
async def test_a_flood_of_small_frames_leaves_others_their_turn(impatient: Served, flood: bytes) -> None:
    async with neighbour(impatient) as took:
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(flooding(impatient, flood, 0.5))
        during = list(took)
    during.sort()
    assert len(during) > 5
    assert during[len(during) // 2] < 0.1
    await until_idle(impatient)


async def test_a_message_in_endless_pieces_is_refused(served: Served) -> None:
    rest = await sent(served, frame(TEXT, b"[") + frame(CONT) * FRAGMENTS_MAX)
    assert closed_with(rest) == 1008
    few = frame(TEXT, CALL[:10]) + b"".join(frame(CONT, CALL[at : at + 1]) for at in range(10, len(CALL)))
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port("ethereum"))
    writer.write(UPGRADE + few + frame(FIN | CONT))
    assert await reader.readuntil(b'"result"')
    writer.close()


@pytest.mark.parametrize("pieces", [1, 3])
async def test_a_message_that_is_too_long_is_refused_by_its_announced_length(served: Served, pieces: int) -> None:
    size = ETHEREUM_BODY_MAX // pieces + 1
    parts = [frame(TEXT if number == 0 else CONT, b" " * size) for number in range(pieces - 1)]
    rest = await sent(served, b"".join(parts) + frame(FIN | (CONT if parts else TEXT), b"", length=size))
    assert closed_with(rest) == 1009
    await until_idle(served)


@pytest.mark.parametrize(
    "wrong",
    [
        frame(FIN | TEXT, CALL, masked=False), frame(FIN | 0x40 | TEXT, CALL), frame(FIN | 0x3, CALL), frame(PING, b""),
        frame(FIN | PING, b"x" * 126), frame(FIN | CONT, CALL), frame(TEXT, b"{") + frame(FIN | TEXT, CALL),
        frame(FIN | CLOSE, b"\x00"), UPGRADE,
    ],
)  # fmt: skip
async def test_frames_that_break_the_protocol_end_the_connection_and_are_no_call(served: Served, wrong: bytes) -> None:
    rest = await sent(served, wrong + frame(FIN | TEXT, CALL))
    assert closed_with(rest) in (1002, 1007)
    assert b"result" not in rest


async def test_nothing_is_compressed_however_it_is_offered(served: Served) -> None:
    offer = b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n"
    answer = await raw(served.port("ethereum"), UPGRADE[:-2] + offer + frame(FIN | CLOSE, b"\x03\xe8"))
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"extensions" not in answer.lower()


async def test_calls_of_one_connection_wait_unread_once_enough_are_under_way(served: Served, chain: TwinChain) -> None:
    chain.slow = asyncio.Event()
    ask = b'{"jsonrpc":"2.0","id":1,"method":"eth_gasPrice"}'
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port("ethereum"))
    writer.write(UPGRADE + frame(FIN | TEXT, ask) * 500)
    await until(lambda: len(chain.asked) >= MESSAGES_AT_ONCE)
    await asyncio.sleep(0.05)
    assert len(chain.asked) == MESSAGES_AT_ONCE
    assert served.server.gate("run_1").held < 100_000
    chain.slow.set()
    for _ in range(500):
        await reader.readuntil(b'"result"')
    writer.close()
    await until_idle(served)


async def test_unfinished_messages_of_a_run_are_bounded_together(served: Served) -> None:
    piece = frame(FIN | TEXT, b"x" * (ETHEREUM_BODY_MAX - 100), length=ETHEREUM_BODY_MAX - 1)
    count = HELD_BYTES_MAX // ETHEREUM_BODY_MAX + 20
    writers = [await asyncio.open_connection("127.0.0.1", served.port("ethereum")) for _ in range(count)]
    async with neighbour(served):
        for _, writer in writers:
            writer.write(UPGRADE + piece)
            await writer.drain()
        await until(lambda: len(served.server.gate("run_1").connections) < count)
        assert served.server.gate("run_1").held <= HELD_BYTES_MAX
    for _, writer in writers:
        writer.close()
    await until_idle(served)


async def test_websockets_count_among_a_runs_connections_and_unused_ones_make_room(served: Served) -> None:
    wires = [await asyncio.open_connection("127.0.0.1", served.port("ethereum")) for _ in range(CONNECTIONS_MAX)]
    for reader, writer in wires:
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
    async with connect(address(served)) as wire:
        await wire.send(CALL.decode())
        assert "result" in json.loads(await wire.recv())
        assert len(served.server.gate("run_1").connections) == CONNECTIONS_MAX
    ends = [asyncio.create_task(reader.read()) for reader, _ in wires]
    cut, _ = await asyncio.wait(ends, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    assert len(cut) == 1  # the one unused for longest; several are within one tick of the clock
    for _, writer in wires:
        writer.close()
    await asyncio.gather(*ends, return_exceptions=True)


# --- handshakes ---------------------------------------------------------------------------------------------------

HANDSHAKES = {
    "a body": UPGRADE[:-2] + b"Content-Length: 2\r\n\r\n{}",
    "a chunked body": UPGRADE[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another method": UPGRADE.replace(b"GET", b"POST"),
    "no key": UPGRADE.replace(b"Sec-WebSocket-Key", b"X"),
    "two keys": UPGRADE[:-2] + b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    "a short key": UPGRADE.replace(b"AAAA==", b"=="),
    "another version": UPGRADE.replace(b": 13", b": 8"),
    "two protocols": UPGRADE.replace(b": websocket", b": websocket, h2c"),
    "two upgrades": UPGRADE[:-2] + b"Upgrade: h2c\r\n\r\n",
    "HTTP/1.0": UPGRADE.replace(b"1.1", b"1.0"),
    "an expectation": UPGRADE[:-2] + b"Expect: 100-continue\r\n\r\n",
}


@pytest.mark.parametrize("name", HANDSHAKES)
async def test_a_handshake_with_two_meanings_has_none(served: Served, name: str) -> None:
    answer = await raw(served.port("ethereum"), HANDSHAKES[name] + frame(FIN | TEXT, CALL))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"result" not in answer


@pytest.mark.parametrize(
    "url", [b"http://a:b:c/", b"http://[::1", b"http://", b"http:///", b"//", b"*", b"/\x80", b"?"]
)
async def test_a_handshake_to_an_address_that_is_none_is_refused_and_no_fault_of_ours(
    served: Served, url: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await raw(served.port("ethereum"), UPGRADE.replace(b"GET / ", b"GET " + url + b" "))
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 "))
    assert caplog.records == []


async def test_only_the_first_request_of_a_connection_may_become_a_websocket(served: Served) -> None:
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(CALL), CALL)
    answer = await raw(served.port("ethereum"), post + UPGRADE + frame(FIN | TEXT, CALL))
    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert b"HTTP/1.1 101 " not in answer
    assert answer.count(b'"result"') == 1


async def test_bytes_that_are_anything_never_break_the_server(served: Served) -> None:
    for _ in range(100):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port("ethereum"))
        writer.write(UPGRADE + os.urandom(200))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(os.urandom(200))
        with contextlib.suppress(TimeoutError, ConnectionError):
            await asyncio.wait_for(reader.read(), 0.01)
        writer.transport.abort()
    async with connect(address(served)) as wire:
        await wire.send(CALL.decode())
        assert "result" in json.loads(await wire.recv())


async def test_a_batch_of_ten_thousand_and_deep_json_are_refused_whole(served: Served) -> None:
    async with connect(address(served)) as wire:
        batch = b"[" + b",".join([b'{"id":1}'] * 10_000) + b"]"
        for body in (batch, b"[" * 100_000, b'{"a":' * 50_000):
            with contextlib.suppress(ConnectionClosed):
                await wire.send(body.decode())
                assert json.loads(await wire.recv())["error"]["code"] == -32700
    assert served.desk.calls == []
