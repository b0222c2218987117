"""What goes to a model provider and what comes back: the checks that make a worst case a bound, and SSE."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, cast

import msgspec

from safebox.firewall.core.arguments import Chat
from safebox.firewall.errors import CallerError

EVENT_BYTES_MAX: Final = 1024 * 1024
"""One streamed event is a few hundred bytes; a longer one is a broken stream."""
FIELDS: Final = frozenset(
    (
        "model",
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "stream",
        "stream_options",
        "n",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "stop",
        "seed",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "functions",
        "function_call",
        "response_format",
        "frequency_penalty",
        "presence_penalty",
        "repetition_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "reasoning_effort",
        "verbosity",
        "metadata",
        "store",
        "user",
        "safety_identifier",
        "prompt_cache_key",
    )
)
"""Request fields whose cost prompt bytes and max_tokens bound. Others (other tiers, searches, audio) are refused."""
_TEXT_PARTS: Final = frozenset(("text", "refusal"))


class BrokenStreamError(Exception):
    """The stream ended before its end, or is no stream of events."""


class Usage(msgspec.Struct, frozen=True):
    """The tokens a provider says it used."""

    prompt_tokens: int
    completion_tokens: int


class _WithUsage(msgspec.Struct, frozen=True):
    usage: Usage | None = None
    choices: list[Any] = []


def check(chat: Chat) -> None:
    """See that prompt bytes and max_tokens bound what this request can cost.

    Raises:
        CallerError: It has fields, tools or message parts with a cost of their own.
    """
    unknown = sorted(set(chat.request) - FIELDS)
    if unknown:
        raise CallerError(f"not supported: {', '.join(unknown)[:200]}")
    for tool in _dicts(chat.request.get("tools")):
        if tool.get("type") not in ("function", "custom"):
            raise CallerError("only function tools are supported")
    for message in _dicts(chat.request.get("messages")):
        parts = _dicts(message.get("content"))
        if "audio" in message or any(part.get("type") not in _TEXT_PARTS for part in parts):
            raise CallerError("only text messages are supported")


def encode(chat: Chat, *, stream: bool) -> bytes:
    """The request as it is sent: as parsed, and with usage asked for when it streams."""
    request = {**chat.request, "stream": stream}
    request.pop("stream_options", None)
    if stream:
        request["stream_options"] = {"include_usage": True}
    return msgspec.json.encode(request)


def wants_usage(chat: Chat) -> bool:
    """Whether the agent itself asked for a usage event at the end of a stream."""
    options: object = chat.request.get("stream_options")
    return isinstance(options, dict) and cast("dict[str, object]", options).get("include_usage") is True


def usage_of(document: bytes) -> Usage | None:
    """The usage in an answer or event, if it has any.

    Raises:
        BrokenStreamError: It is no JSON of the right shape, or counts tokens below zero.
    """
    try:
        usage = msgspec.json.decode(document, type=_WithUsage).usage
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BrokenStreamError("not a completion") from error
    if usage is not None and min(usage.prompt_tokens, usage.completion_tokens) < 0:
        raise BrokenStreamError("a negative number of tokens")
    return usage


def is_usage_only(document: bytes) -> bool:
    """Whether an event tells usage and nothing else."""
    return not msgspec.json.decode(document, type=_WithUsage).choices


async def events(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Cut a body into the payloads of its `data:` lines; ends after `[DONE]`.

    Raises:
        BrokenStreamError: It ended without `[DONE]`, or an event is too long.
    """
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            payload = line[5:].strip() if line.startswith(b"data:") else b""
            if payload == b"[DONE]":
                return
            if payload:
                yield payload
        if len(rest) > EVENT_BYTES_MAX:
            raise BrokenStreamError("an event is too long")
    raise BrokenStreamError("the stream ended without its end")


def _dicts(value: object) -> list[dict[str, Any]]:
    listed = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", one) if isinstance(one, dict) else {} for one in listed]
