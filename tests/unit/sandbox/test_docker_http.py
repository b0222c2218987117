"""The engine's answers as they come over the wire, good and bad, from a socket that says exactly what it is told to."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from safebox.sandbox.engines.docker_http import NotThereError, ask
from safebox.sandbox.errors import SandboxError


class Engine:
    """Answers one request with these bytes, and keeps what was asked."""

    def __init__(self, path: Path, answer: bytes) -> None:
        self.asked = b""
        self._answer = answer
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._server.accept()
        with connection:
            self.asked = connection.recv(65536)
            connection.sendall(self._answer)

    def close(self) -> None:
        self._thread.join(10)
        self._server.close()


@pytest.fixture
def place(short_path: Path) -> Path:
    return short_path / "engine"


def answered(place: Path, answer: bytes, method: str = "GET", document: Any = None) -> tuple[Any, bytes]:
    engine = Engine(place, answer)
    try:
        return ask(str(place), method, "/x", document, 5).json(), engine.asked
    finally:
        engine.close()


def test_a_document_goes_out_and_the_answers_document_comes_back(place: Path) -> None:
    body, asked = answered(place, b'HTTP/1.0 201 Created\r\n\r\n{"Id": "1"}', "POST", {"a": "ä"})
    assert body == {"Id": "1"}
    head, _, sent = asked.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /x HTTP/1.0\r\n")
    assert f"Content-Length: {len(sent)}".encode() in head
    assert json.loads(sent) == {"a": "ä"}


@pytest.mark.parametrize("answer", [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.0 304 Not Modified\r\nX: y\r\n\r\n"])
def test_an_answer_without_a_body_is_fine(place: Path, answer: bytes) -> None:
    assert answered(place, answer)[0] is None


@pytest.mark.parametrize("status", [404, 409])
def test_what_is_gone_or_in_another_state_is_told_apart_with_the_engines_words(place: Path, status: int) -> None:
    with pytest.raises(NotThereError, match="no such container"):
        answered(place, b'HTTP/1.1 %d X\r\n\r\n{"message": "no such container"}' % status)


@pytest.mark.parametrize("body", [b'{"message": "bad spec"}', b"bad spec", b'["bad spec"]'])
def test_a_refusal_repeats_the_engines_words_whatever_their_form(place: Path, body: bytes) -> None:
    with pytest.raises(SandboxError, match="bad spec") as caught:
        answered(place, b"HTTP/1.1 400 X\r\n\r\n" + body)
    assert not isinstance(caught.value, NotThereError)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1\r\n\r\n{}",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n{",
    ],
)
def test_what_is_no_whole_answer_is_an_engine_that_does_not_answer(place: Path, answer: bytes) -> None:
    with pytest.raises(SandboxError, match="does not answer"):
        answered(place, answer)


def test_no_engine_at_all_is_told_with_what_to_look_at(place: Path) -> None:
    with pytest.raises(SandboxError) as caught:
        ask(str(place), "GET", "/version")
    assert (caught.value.code, caught.value.remedy) == ("sandbox.no_engine", "see: docker info")
