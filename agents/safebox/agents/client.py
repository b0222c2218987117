"""A client of the tools gateway, standard library only.

Rule 1: one call, one idempotency key, however often it is sent. The gateway does a key's action once.
Rule 2: by itself it sends again only after 429, 503 and a connection refused or lost. Not after a timeout.
Rule 3: "nothing was done" is said only when it is known. A lost answer is an `EffectUnknown`.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from safebox.agents.errors import (
    ANSWER_LOST,
    BAD_ARGUMENTS,
    MALFORMED_ANSWER,
    UNREACHABLE,
    BadRequest,
    EffectUnknown,
    ToolError,
    Unavailable,
    from_answer,
    seconds,
)
from safebox.agents.jsontext import parse

DEFAULT_URL = "http://127.0.0.1:8700"  # where the sandbox shows the tools gateway
TIMEOUT = 120.0  # seconds; a transfer waits for its block, a mail for the relay
ATTEMPTS = 5  # with the pauses below about 3 seconds: longer than a firewall's restart
FIRST_PAUSE = 0.2  # seconds; doubles with every attempt
LONGEST_PAUSE = 10.0  # seconds; told to wait longer, the caller decides, not the client
MAX_ANSWER_BYTES = 16 * 1024 * 1024  # a mail with attachments fits; nothing the gateway sends is larger
TRY_AGAIN = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool the mandate grants; `parameters` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: dict[str, object]


@dataclass(frozen=True, slots=True)
class Answer:
    """What an allowed call returned, with the firewall's record of it."""

    result: dict[str, object]
    decision_id: str


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    retry_after: float | None
    document: object  # None when the body was not JSON


class _LostError(Exception):
    """No answer came."""

    def __init__(self, error: Exception) -> None:
        cause = getattr(error, "reason", error)  # urllib wraps what happens before the request is out
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.maybe_arrived = not isinstance(cause, ConnectionRefusedError)
        self.timed_out = isinstance(cause, TimeoutError)


class Client:
    """Calls tools through the firewall.

    Args:
        url: The gateway; without it SAFEBOX_URL, else the address every sandbox has.
        timeout: Seconds to wait for one answer.
        attempts: How often one call is sent at most.
        sleep: How to wait between attempts.

    Raises:
        ValueError: The URL is not plain http with a host.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        timeout: float = TIMEOUT,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = (url or os.environ.get("SAFEBOX_URL") or DEFAULT_URL).rstrip("/")
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"the tools gateway speaks plain http inside the sandbox, not {self.url!r}")
        self._timeout = timeout
        self._attempts = max(1, attempts)
        self._sleep = sleep
        # Only this one handler: no proxy from the environment, no redirect, and every status is an answer.
        self._opener = urllib.request.OpenerDirector()
        self._opener.add_handler(urllib.request.HTTPHandler())

    def tools(self) -> tuple[Tool, ...]:
        """List the tools this run may call.

        Raises:
            ToolError: The gateway refused, was not reached, or did not answer in its format.
        """
        reply = self._ask("GET", "/v1/tools", None, None)
        if reply.status != http.client.OK:
            raise from_answer(reply.status, reply.document, retry_after=reply.retry_after, key=None)
        entries = _member(reply.document, "tools")
        if not isinstance(entries, list):
            raise Unavailable(MALFORMED_ANSWER, "the gateway's list of tools is not a list")
        return tuple(_tool(entry) for entry in cast("list[object]", entries))

    def call(
        self, name: str, arguments: Mapping[str, object] | None = None, *, idempotency_key: str | None = None
    ) -> Answer:
        """Call one tool.

        Args:
            name: The tool, for example `email.send`.
            arguments: Its arguments, as its JSON schema says.
            idempotency_key: A key to ask again for an earlier call; without it the call is a new one.

        Raises:
            ToolError: One of the subclasses; the call has no result.
        """
        key = idempotency_key or uuid.uuid4().hex
        path = f"/v1/tools/{urllib.parse.quote(name, safe='')}"
        return _answered(self._ask("POST", path, _encode(arguments, key), key), key)

    def decision(self, decision_id: str) -> Answer:
        """Look what became of a call that was held, without asking for the thing again.

        Args:
            decision_id: Of the `Held` that the call raised.

        Raises:
            ToolError: As the call itself would now; `Held` while it waits.
        """
        reply = self._ask("GET", f"/v1/decisions/{urllib.parse.quote(decision_id, safe='')}", None, None)
        return _answered(reply, None)

    def _ask(self, method: str, path: str, body: bytes | None, key: str | None) -> _Reply:
        """Send until there is an answer worth returning, always under the same key."""
        maybe_done = False
        for attempt in range(1, self._attempts + 1):
            pause = _pause(attempt)
            last = attempt == self._attempts
            try:
                reply = self._send(method, path, body, key)
            except _LostError as lost:
                maybe_done = maybe_done or (lost.maybe_arrived and method == "POST")
                if last or lost.timed_out:
                    raise _no_answer(lost, maybe_done=maybe_done, key=key) from lost
            else:
                if reply.status not in TRY_AGAIN:
                    return reply
                pause = max(pause, reply.retry_after or 0.0)
                if last or pause > LONGEST_PAUSE:
                    return _undecided(reply, maybe_done=maybe_done, key=key)
            self._sleep(pause)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _send(self, method: str, path: str, body: bytes | None, key: str | None) -> _Reply:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if key is not None:
            headers["Idempotency-Key"] = key
        url = self.url + path
        request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - http only, see __init__
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                return _read(cast("http.client.HTTPResponse", response))
        except (OSError, http.client.HTTPException) as error:
            raise _LostError(error) from error


def _answered(reply: _Reply, key: str | None) -> Answer:
    if reply.status != http.client.OK:
        raise from_answer(reply.status, reply.document, retry_after=reply.retry_after, key=key)
    result, decision_id = _member(reply.document, "result"), _member(reply.document, "decision_id")
    if not isinstance(result, dict) or not isinstance(decision_id, str):
        message = "the answer has no result and decision"
        raise EffectUnknown(MALFORMED_ANSWER, message, idempotency_key=key)
    return Answer(cast("dict[str, object]", result), decision_id)


def _read(response: http.client.HTTPResponse) -> _Reply:
    text = response.read(MAX_ANSWER_BYTES + 1)
    document: object = None
    if len(text) <= MAX_ANSWER_BYTES:
        try:
            document = parse(text)
        except ValueError:
            document = None
    wait = seconds(_member(_member(document, "error"), "retry_after"), otherwise=_header_seconds(response))
    return _Reply(response.status, wait, document)


def _header_seconds(response: http.client.HTTPResponse) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None


def _pause(attempt: int) -> float:
    """Return seconds to wait: doubling, with up to half of it taken off so that runs don't return in step."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret


def _no_answer(lost: _LostError, *, maybe_done: bool, key: str | None) -> ToolError:
    if maybe_done:
        message = f"the call was sent and its answer was lost ({lost})"
        return EffectUnknown(ANSWER_LOST, message, idempotency_key=key)
    return Unavailable(UNREACHABLE, f"the tools gateway was not reached ({lost})", idempotency_key=key)


def _undecided(reply: _Reply, *, maybe_done: bool, key: str | None) -> _Reply:
    """Return the reply, unless an earlier attempt of the same call may have been done after all."""
    if not maybe_done:
        return reply
    error = from_answer(reply.status, reply.document, retry_after=reply.retry_after, key=key)
    raise EffectUnknown(
        ANSWER_LOST,
        f"an earlier answer to this call was lost, and now: {error}",
        retry_after=error.retry_after,
        idempotency_key=key,
    )


def _encode(arguments: Mapping[str, object] | None, key: str) -> bytes:
    try:
        return json.dumps(dict(arguments or {}), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        message = f"the arguments are not JSON: {error}"
        raise BadRequest(BAD_ARGUMENTS, message, idempotency_key=key) from error


def _tool(entry: object) -> Tool:
    name, description, parameters = (_member(entry, part) for part in ("name", "description", "parameters"))
    if not (isinstance(name, str) and isinstance(description, str) and isinstance(parameters, dict)):
        raise Unavailable(MALFORMED_ANSWER, "the gateway listed something that is not a tool")
    return Tool(name, description, cast("dict[str, object]", parameters))


def _member(document: object, name: str) -> object:
    return cast("dict[str, object]", document).get(name) if isinstance(document, dict) else None
