"""A JSON-RPC client for one Ethereum node: bounded in time and size, exact numbers, no address in any error.

A node's URL often carries an API key, so no message repeats it. What agents read goes over connections of its own:
however many reads of theirs a node keeps waiting, the firewall's own questions find a free one.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec

from safebox.firewall.errors import ConfigError
from safebox.firewall.loading import load

if TYPE_CHECKING:
    import aiohttp

TIMEOUT_SECONDS: Final = 10
CONNECT_SECONDS: Final = 3
"""A node that is there takes a connection in a fraction of a second, also across an ocean."""
PASSED_ON_MAX: Final = 64
"""Connections for what agents read, of all runs together; more reads wait for one, within their time."""
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
"""A block with all its transactions is about a megabyte."""
_QUANTITY: Final = re.compile(r"0x(0|[1-9a-f][0-9a-f]{0,63})", re.ASCII | re.IGNORECASE)
_BUSY: Final = frozenset({429, 502, 503, 504})
"""What stands before a node says with these that the node isn't answering, also where it says so in JSON."""
_DATA: Final = re.compile(r"0x([0-9a-f]{2})*", re.ASCII | re.IGNORECASE)


_HEADERS: Final = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
"""A compressed answer is of a size nobody knows before it is there."""


class NodeUnavailable(Exception):
    """The node did not answer, or not in JSON-RPC."""


class AnswerTooLong(NodeUnavailable):
    """The node is well, and what it was asked for is more than is taken."""


class NodeRefused(Exception):
    """The node answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Error(msgspec.Struct, frozen=True):
    code: int
    message: str


class _Answer(msgspec.Struct, frozen=True):
    id: int
    result: Any = None
    error: _Error | None = None


class ChainNode(Protocol):
    """What is asked of a node, wherever it is."""

    async def call(self, method: str, *params: Any) -> Any:
        """Ask. Raises as `Node.call` does."""
        ...

    async def quantity(self, method: str, *params: Any) -> int:
        """Ask for a number. Raises as `Node.call` does."""
        ...

    async def choose(self) -> ChainNode:
        """One node, for questions whose answers must be of one state: another node may be ahead or behind.

        Raises:
            NodeUnavailable: There is none.
        """
        ...

    async def forward(self, payload: bytes) -> bytes:
        """Pass a request on byte for byte. Raises as `Node.forward` does."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Node:
    """One Ethereum node.

    Raises:
        ConfigError: `url` is no http or https URL.
    """

    def __init__(self, url: str, *, timeout: int = TIMEOUT_SECONDS) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ConfigError("the chain's address is no http or https URL", remedy="write http://host:port")
        self._url = url
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._passing: aiohttp.ClientSession | None = None
        self._numbers = itertools.count(1)

    async def call(self, method: str, *params: Any) -> Any:
        """Ask the node.

        Raises:
            NodeUnavailable: There was no usable answer.
            NodeRefused: It answered with an error.
        """
        number = next(self._numbers)
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        content = await self._post(msgspec.json.encode(request))
        try:
            answer = msgspec.json.decode(content, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise NodeUnavailable("the node's answer is not JSON-RPC") from error
        if answer.id != number:
            raise NodeUnavailable("the node answered another question")
        if answer.error is not None:
            raise NodeRefused(answer.error.code, answer.error.message[:300])
        return answer.result

    async def quantity(self, method: str, *params: Any) -> int:
        """Ask for a number.

        Raises:
            NodeUnavailable: There was no usable answer.
            NodeRefused: It answered with an error.
        """
        return quantity(await self.call(method, *params))

    async def choose(self) -> Node:
        """This node."""
        return self

    async def forward(self, payload: bytes) -> bytes:
        """Pass a request on byte for byte and return the answer byte for byte.

        Raises:
            NodeUnavailable: No answer in time, a redirect, or an HTTP error without JSON.
            AnswerTooLong: The answer is longer than `ANSWER_BYTES_MAX`.
        """
        return await self._post(payload, passed_on=True)

    async def _post(self, payload: bytes, *, passed_on: bool = False) -> bytes:
        await load("aiohttp")
        import aiohttp

        session = self._passed_on() if passed_on else self._own()
        try:
            async with session.post(self._url, data=payload, headers=_HEADERS, allow_redirects=False) as response:
                if response.content_type != "application/json" or response.status in _BUSY:
                    raise NodeUnavailable(f"the node answered HTTP {response.status} without an answer")
                return await _bounded(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NodeUnavailable(f"the node did not answer ({type(error).__name__})") from error

    async def close(self) -> None:
        """Close the connections."""
        sessions = (self._session, self._passing)
        self._session = self._passing = None
        for session in sessions:
            if session is not None:
                await session.close()

    def _own(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = self._open()
        return self._session

    def _passed_on(self) -> aiohttp.ClientSession:
        if self._passing is None:
            self._passing = self._open(PASSED_ON_MAX)
        return self._passing

    def _open(self, connections: int = 100) -> aiohttp.ClientSession:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=self._timeout, sock_connect=min(self._timeout, CONNECT_SECONDS))
        connector = aiohttp.TCPConnector(limit=connections)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)


def quantity(value: object) -> int:
    """Read a JSON-RPC quantity.

    Raises:
        NodeUnavailable: It is none.
    """
    if not isinstance(value, str) or _QUANTITY.fullmatch(value) is None:
        raise NodeUnavailable("the node answered with something that is no number")
    return int(value, 16)


def data(value: object) -> bytes:
    """Read JSON-RPC bytes.

    Raises:
        NodeUnavailable: They are none.
    """
    if not isinstance(value, str) or _DATA.fullmatch(value) is None:
        raise NodeUnavailable("the node answered with something that is no data")
    return bytes.fromhex(value[2:])


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    if (response.content_length or 0) > ANSWER_BYTES_MAX:
        raise AnswerTooLong(f"the node's answer is longer than {ANSWER_BYTES_MAX} bytes")
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > ANSWER_BYTES_MAX:
            raise AnswerTooLong(f"the node's answer is longer than {ANSWER_BYTES_MAX} bytes")
    return bytes(content)
