"""An OPA server as safebox uses it: every call of its REST API that is made, bounded in time and length.

Rule 1: the server is on this machine: loopback, or a Unix socket. Whoever answers there is believed, so nobody on a
        network may.
Rule 2: what is asked goes as the bytes it is, never read and written again: no number changes on the way.
Rule 3: nothing is tried twice here, and Rego is sent as it was written (the client would rewrite what looks old).
Rule 4: whatever the server does but answer is `PolicyUnavailable`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypeVar, cast
from urllib.parse import quote

import aiohttp
from opa_client import errors  # type: ignore[import-untyped]
from opa_client.opa_async import AsyncOpaClient  # type: ignore[import-untyped]

from safebox.firewall.core.decision import ANSWER_BYTES_MAX
from safebox.firewall.engines.opa_address import Address, parse_address
from safebox.firewall.errors import PolicyUnavailable

CALL_SECONDS: Final = 10.0
"""OPA compiles everything it holds at each change: 10 ms for the pack, seconds for some thousand modules."""
REPLY_BYTES_MAX: Final = ANSWER_BYTES_MAX + 4_096
"""The longest answer there is, and what OPA says around it."""
LISTING_BYTES_MAX: Final = 536_870_912
"""OPA lists policies with their syntax trees, some twenty times their text; safebox holds this only while it loads."""
OWNED: Final = "system/bundles/safebox"
"""Where OPA keeps what it knows of a bundle; while a manifest is there, it refuses changes below the roots it names."""

_CLIENT_FAILS: Final = (
    aiohttp.ClientError, OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError,
)  # fmt: skip
"""What comes of no answer, or of one that is not OPA's: the client reads what it gets without looking."""
_REFUSALS: Final = (
    errors.RegoParseError,
    errors.DeletePolicyError,
    errors.DeleteDataError,
    errors.PatchDataError,
    errors.PolicyNotFoundError,
)

Result = TypeVar("Result")


class OpaRefused(PolicyUnavailable):
    """The server said no to a change: the Rego is wrong (`kind` is broken), or something else is in the way (missing).

    `opa_code` is its own word for why.
    """

    def __init__(self, cause: str, *, code: str = "", kind: str = "missing") -> None:
        super().__init__(cause, kind=kind)
        self.opa_code = code


class Listed(NamedTuple):
    """A policy as the server holds it: its text, and its package as a path (`data`, `safebox`, …)."""

    text: str
    package: tuple[str, ...]


class _Reply(aiohttp.ClientResponse):
    """A response that is never read beyond `LISTING_BYTES_MAX`."""

    async def read(self) -> bytes:
        if self._body is None:
            self._body = await read_at_most(self, LISTING_BYTES_MAX)
        return self._body


class _Client(AsyncOpaClient):  # type: ignore[misc]
    """The client, also over a Unix socket, with bounded replies."""

    def __init__(self, address: Address) -> None:
        super().__init__(host=address.host, port=address.port, retries=0, timeout=CALL_SECONDS)  # pyright: ignore[reportUnknownMemberType]
        self._socket = address.socket

    async def _init_session(self) -> None:
        connector = aiohttp.UnixConnector(self._socket) if self._socket else aiohttp.TCPConnector()
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={"Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=self.timeout),
            response_class=_Reply,
        )

    async def open(self) -> None:
        """Be ready to connect."""
        await self._init_session()

    async def ask(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Send a body as it is; the status and what was answered."""
        headers = {"Content-Type": "application/json"}
        async with self._request("POST", f"{self.root_url}/{path}", data=body, headers=headers) as response:  # pyright: ignore[reportUnknownMemberType]
            return response.status, await read_at_most(response, REPLY_BYTES_MAX)

    async def listing(self) -> Any:
        """Every policy with its text and its syntax tree."""
        async with self._request("GET", f"{self.root_url}/policies") as response:  # pyright: ignore[reportUnknownMemberType]
            response.raise_for_status()
            return (await response.json())["result"]

    async def value(self, path: str) -> Any:
        """What is at a path of the data; None if nothing is."""
        async with self._request("GET", f"{self.root_url}/data/{path}") as response:  # pyright: ignore[reportUnknownMemberType]
            response.raise_for_status()
            return (await response.json()).get("result")


async def read_at_most(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read a response to its end.

    Raises:
        ClientPayloadError: if it is longer; the connection is given up.
    """
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            response.close()
            raise aiohttp.ClientPayloadError(f"the reply is longer than {limit} bytes")
    return bytes(body)


class OpaServer:
    """Speaks to one OPA server. Belongs to the event loop it is first used on; `close` it.

    Args:
        text: its address, see `parse_address`.

    Raises:
        ConfigError: if that is no address.
    """

    def __init__(self, text: str) -> None:
        self.name = f"OPA server at {text}"
        self._address = parse_address(text)
        self._client: _Client | None = None

    async def ask(self, rule: str, document: bytes) -> bytes:
        """Ask for a rule (`a/b/c`) about an input, given as JSON; what the server says, unread.

        Raises:
            PolicyUnavailable: if it says nothing, or that it can't.
        """
        status, body = await self._called((await self._open()).ask(f"data/{rule}", b'{"input":' + document + b"}"))
        if status != HTTPStatus.OK:
            raise PolicyUnavailable(f"{self.name} could not decide: {_said(status, body)}", kind="error")
        return body

    async def policies(self) -> dict[str, Listed]:
        """Every policy the server holds, by its identifier."""
        listing = await self._called((await self._open()).listing())
        try:
            return {
                each["id"]: Listed(each["raw"], tuple(str(part["value"]) for part in each["ast"]["package"]["path"]))
                for each in listing
            }
        except (LookupError, TypeError) as error:
            raise self._foreign(error) from error

    async def value(self, path: str) -> Any:
        """What is at a path of the data, as parsed JSON; None if nothing is."""
        return await self._called((await self._open()).value(path))

    async def put_policy(self, name: str, text: str) -> None:
        """Add or replace one policy; everything is compiled anew."""
        client = await self._open()
        await self._called(client.update_policy_from_string(text, quote(name), rego_compat=False))

    async def delete_policy(self, name: str) -> None:
        """Remove one policy, if it is there."""
        await self._unless_gone((await self._open()).delete_policy(quote(name)))

    async def put_data(self, path: str, value: dict[str, Any]) -> None:
        """Put a document at a path of the data in place of what is there."""
        await self._called((await self._open()).update_or_create_data(value, path))  # pyright: ignore[reportUnknownMemberType]

    async def delete_data(self, path: str) -> None:
        """Remove what is at a path of the data, if something is."""
        await self._unless_gone((await self._open()).delete_data(path))

    async def replace_data(self, path: str, key: str, value: str) -> None:
        """Replace one text of a document that has to be there."""
        patch = [{"op": "replace", "path": f"/{key}", "value": value}]
        await self._called((await self._open()).patch_data(path, patch))  # pyright: ignore[reportUnknownMemberType]

    async def close(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            await self._client.close_connection()
            self._client = None

    async def _open(self) -> _Client:
        if self._client is None:
            self._client = _Client(self._address)
            await self._client.open()
        return self._client

    async def _unless_gone(self, call: Awaitable[object]) -> None:
        try:
            await self._called(call)
        except OpaRefused as error:
            if error.opa_code != "resource_not_found":
                raise

    async def _called(self, call: Awaitable[Result]) -> Result:
        try:
            return await call
        except _REFUSALS as error:
            raise self._refused(error) from error
        except TimeoutError as error:
            raise PolicyUnavailable(f"{self.name} does not answer in time", kind="timeout") from error
        except aiohttp.ClientConnectorError as error:
            raise PolicyUnavailable(f"{self.name} can't be reached: {_brief(error)}", kind="unreachable") from error
        except _CLIENT_FAILS as error:
            raise self._foreign(error) from error

    def _refused(self, error: BaseException) -> OpaRefused:
        code = str(getattr(error, "expression", ""))
        if wrong := _mistakes(error):
            return OpaRefused(wrong, code=code, kind="broken")
        return OpaRefused(f"the {self.name} can't be loaded: {_brief(getattr(error, 'message', error))}", code=code)

    def _foreign(self, error: BaseException) -> PolicyUnavailable:
        cause = f"{self.name} gives no answer of OPA's: {type(error).__name__}: {_brief(error)}"
        return PolicyUnavailable(cause, kind="unreachable")


def _mistakes(error: BaseException) -> str:
    """What is wrong with the Rego in OPA's own words, with file and line; empty if that isn't it."""
    found: list[dict[str, Any]] = [each for each in getattr(error, "errors", ()) if isinstance(each, dict)]
    lines = [f"{_place(each.get('location'))}{each.get('message', '')}" for each in found[:3]]
    return "; ".join(lines)


def _place(location: Any) -> str:
    if not isinstance(location, dict):
        return ""
    where = cast("dict[str, Any]", location)
    return f"{str(where.get('file', '')).removeprefix('safebox/')}:{where.get('row', '')}: "


def _said(status: int, body: bytes) -> str:
    """What OPA says with an error status: its message, and those of the errors behind it."""
    try:
        said = json.loads(body)
        more = [str(each["message"]) for each in said.get("errors") or ()]
        return _brief(": ".join([str(said["message"]), *more]))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return f"status {status}"


def _brief(what: object) -> str:
    return " ".join(str(what).split())[:300]
