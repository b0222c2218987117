"""The control wire takes whole messages and sockets, or says what is wrong and keeps nothing."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.control.wire import MESSAGE_BYTES_MAX, SOCKETS_MAX, ControlError, closed, receive, send

Pair = tuple[socket.socket, socket.socket]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two ends of a connection; what is open afterwards was open before."""
    before = descriptors()
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    yield one, other
    one.close()
    other.close()
    assert descriptors() == before


def framed(body: bytes) -> bytes:
    return struct.pack("!I", len(body)) + body


json_values = st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(), st.lists, max_leaves=5)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_what_is_sent_is_received(message: dict[str, Any]) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with one, other:
        send(one, message)
        assert receive(other) == (message, [])


def test_messages_follow_each_other_and_end_with_the_connection(pair: Pair) -> None:
    for number in range(3):
        send(pair[0], {"n": number})
    pair[0].close()
    assert [receive(pair[1]) for _ in range(4)] == [*(({"n": number}, []) for number in range(3)), None]


def test_a_message_larger_than_the_sockets_buffer_arrives_whole(pair: Pair) -> None:
    message = {"x": "y" * (MESSAGE_BYTES_MAX - 100)}
    sender = threading.Thread(target=send, args=(pair[0], message))
    sender.start()
    assert receive(pair[1]) == (message, [])
    sender.join()


def test_sockets_travel_beside_their_message_in_order(pair: Pair) -> None:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    names = [listener.getsockname() for listener in listeners]
    send(pair[0], {"op": "attach"}, listeners)
    send(pair[0], {"op": "next"})
    for listener in listeners:
        listener.close()
    received = receive(pair[1])
    assert received is not None
    assert [each.getsockname() for each in received[1]] == names
    for each in received[1]:
        each.close()
    assert receive(pair[1]) == ({"op": "next"}, [])


BROKEN = [
    b"\0",
    b"\0\0\0",
    b"\0\0\0\5",
    b"\0\0\0\5{}",
    b"\xff\xff\xff\xff",
    struct.pack("!I", MESSAGE_BYTES_MAX + 1) + b"{}",
    b"GET / HTTP/1.1\r\n\r\n",
    framed(b""),
    framed(b"[]"),
    framed(b'"op"'),
    framed(b"null"),
    framed(b"{"),
    framed(b"{}{}"),
    framed(b"\xff\xfe"),
    framed(b'{"a": "\xff"}'),
    framed(b"[" * 100_000),
    framed(b'{"a":' * 100_000),
]


@pytest.mark.parametrize("sent", BROKEN, ids=range(len(BROKEN)))
@pytest.mark.parametrize("with_sockets", [False, True])
def test_what_is_no_message_is_an_error_and_leaves_nothing_open(pair: Pair, sent: bytes, with_sockets: bool) -> None:
    def hostile() -> None:
        extra = [pair[1].fileno()] * 3 if with_sockets else []
        socket.send_fds(pair[0], [sent[:4]], extra)
        pair[0].sendall(sent[4:])
        pair[0].close()

    sender = threading.Thread(target=hostile)
    sender.start()
    with pytest.raises(ControlError):
        receive(pair[1])
    sender.join()


def test_what_is_handed_over_and_is_no_socket_is_refused_and_closed(pair: Pair) -> None:
    reading, writing = os.pipe()
    socket.send_fds(pair[0], [framed(b"{}")], [pair[1].fileno(), reading, pair[1].fileno(), writing])
    os.close(reading)
    os.close(writing)
    with pytest.raises(ControlError, match="no socket"):
        receive(pair[1])


def test_more_sockets_than_there_are_gateways_are_not_kept(pair: Pair) -> None:
    socket.send_fds(pair[0], [framed(b"{}")], [pair[1].fileno()] * (SOCKETS_MAX + 40))
    received = receive(pair[1])
    assert received is not None
    assert len(received[1]) <= SOCKETS_MAX + 1  # the control buffer is padded to whole words
    for each in received[1]:
        each.close()


def test_descriptors_within_a_message_are_not_taken(pair: Pair) -> None:
    pair[0].sendall(struct.pack("!I", 4))
    socket.send_fds(pair[0], [b"{  }"], [pair[1].fileno()] * 3)
    assert receive(pair[1]) == ({}, [])


def test_sending_to_nobody_is_an_error(pair: Pair) -> None:
    pair[1].close()
    with pytest.raises(ControlError, match="gone"):
        send(pair[0], {"op": "x"})
    with pytest.raises(ControlError, match="gone"):
        send(pair[0], {"op": "x"}, [pair[0]])


def test_hanging_up_is_seen_without_taking_anything(pair: Pair) -> None:
    assert not closed(pair[1])
    send(pair[0], {"op": "x"})
    assert not closed(pair[1])
    assert receive(pair[1]) == ({"op": "x"}, [])
    pair[0].close()
    assert closed(pair[1])


def test_an_answer_that_does_not_come_is_an_error_after_a_while(pair: Pair) -> None:
    pair[1].settimeout(0.02)
    with pytest.raises(ControlError):
        receive(pair[1])
    pair[0].sendall(b"\0\0")
    with pytest.raises(ControlError):
        receive(pair[1])
