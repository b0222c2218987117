"""The Docker Engine's API as plain HTTP over its Unix socket: one request, one answer, one connection.

Every run makes these calls, so they are made without the docker SDK: importing it takes longer than starting an agent
does. HTTP/1.0 keeps the reading simple: there are no chunks, and the answer ends with the connection.
"""

import json
import socket
from typing import Any, NamedTuple

from safebox.sandbox.errors import SandboxError

_READ_BYTES = 65536
_CONFLICT, _NOT_FOUND, _ERRORS = 409, 404, 400


class NotThereError(SandboxError):
    """The container or image is gone, or no longer in a state where the call means anything."""


class Answer(NamedTuple):
    """What the engine answered."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body as JSON; None when it is empty.

        Raises:
            SandboxError: it is neither.
        """
        try:
            return json.loads(self.body) if self.body.strip() else None
        except ValueError as error:
            raise unanswered("what came is no JSON") from error


def ask(path: str, method: str, target: str, document: Any = None, seconds: float | None = None) -> Answer:
    """Make one call on the engine's socket at `path`, waiting at most `seconds` for each part of the answer.

    Raises:
        NotThereError: what is meant isn't there, or isn't in a state for this.
        SandboxError: the engine refuses, with its own words, or doesn't answer.
    """
    body = b"" if document is None else json.dumps(document).encode()
    head = f"{method} {target} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            connection.connect(path)
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = _parsed(_until_end(connection))
    except OSError as error:
        raise unanswered(str(error)) from error
    if answer.status >= _ERRORS:
        raise _refusal(answer)
    return answer


def unanswered(why: str) -> SandboxError:
    """The error for an engine that doesn't answer."""
    return SandboxError(f"Docker does not answer: {why}", "see: docker info", "sandbox.no_engine")


def _until_end(connection: socket.socket) -> bytes:
    data = bytearray()
    while chunk := connection.recv(_READ_BYTES):
        data += chunk
    return bytes(data)


def _parsed(data: bytes) -> Answer:
    head, mark, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    status = first[9:12]
    if not mark or not first.startswith(b"HTTP/1.") or not status.isdigit():
        raise unanswered("what came is no answer")
    for name, _, value in (line.partition(b":") for line in lines):
        if name.lower() == b"content-length" and value.strip() != str(len(body)).encode():
            raise unanswered("the answer was cut off")
    return Answer(int(status), body)


def _refusal(answer: Answer) -> SandboxError:
    try:
        words = str(answer.json()["message"])
    except (SandboxError, KeyError, TypeError):
        words = answer.body[:500].decode(errors="replace")
    gone = answer.status in {_CONFLICT, _NOT_FOUND}
    kind, code = (NotThereError, "sandbox.not_there") if gone else (SandboxError, "sandbox.engine_failed")
    return kind(f"Docker refused: {words}", "see: docker info", code)
