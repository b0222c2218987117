"""A container's output as it comes: the attach call of the Docker Engine's API, on a connection of its own.

The SDK has this call too, but leaves the connection's end to the garbage collector and reads in small pieces.
"""

import contextlib
import socket
import struct
from collections.abc import Iterator

from safebox.sandbox.errors import SandboxError

_HEAD_LIMIT = 65536
_READ_BYTES = 65536
_CONNECT_SECONDS = 60


class Attached:
    """Both output streams of one container; iterate to read, `close` from any thread to stop."""

    def __init__(self, engine_socket: str, version: str, container: str) -> None:
        """Attach; nothing written after this is missed.

        Raises:
            SandboxError: the engine refuses.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._data = b""
        try:
            self._socket.settimeout(_CONNECT_SECONDS)
            self._socket.connect(engine_socket)
            line = f"POST /v{version}/containers/{container}/attach?stream=1&stdout=1&stderr=1 HTTP/1.1"
            head = [line, "Host: docker", "Connection: Upgrade", "Upgrade: tcp", "Content-Length: 0", "", ""]
            self._socket.sendall("\r\n".join(head).encode())
            self._read_head()
            self._socket.settimeout(None)
        except BaseException as error:
            self._socket.close()
            if isinstance(error, OSError):
                raise SandboxError(f"Docker does not answer: {error}", "see: docker info") from error
            raise

    def _read_head(self) -> None:
        while b"\r\n\r\n" not in self._data:
            chunk = self._socket.recv(_READ_BYTES)
            self._data += chunk
            if not chunk or len(self._data) > _HEAD_LIMIT:
                raise SandboxError("Docker ended the connection to the output", "see: docker info")
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        if head.split(b" ", 2)[1] not in {b"101", b"200"}:
            answer = (head.partition(b"\r\n")[0] + b" " + self._data).decode(errors="replace")
            raise SandboxError(f"Docker does not show the output: {answer}", "see: docker info")

    def __iter__(self) -> Iterator[bytes]:
        """The chunks, both streams mixed, in the order in which they were written."""
        with contextlib.suppress(OSError, EOFError):
            while True:
                size: int = struct.unpack(">xxxxL", self._exactly(8))[0]
                while size:
                    chunk = self._some(size)
                    size -= len(chunk)
                    yield chunk

    def _some(self, most: int) -> bytes:
        if not self._data:
            self._data = self._socket.recv(_READ_BYTES)
            if not self._data:
                raise EOFError
        chunk, self._data = self._data[:most], self._data[most:]
        return chunk

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += self._some(size - len(data))
        return data

    def close(self) -> None:
        """End the connection; whoever iterates stops."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
