"""The inference connector: passes chat completions on to one OpenAI-compatible provider and settles what they cost.

The worst case is every byte of the request a token, and all of max_tokens. What is settled is what the provider says it
used; if it doesn't say, the worst case. The provider's key comes from the firewall's own configuration and is never
part of an answer or an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import msgspec

from safebox.firewall.connectors import chat as wire
from safebox.firewall.connectors.chat import BrokenStreamError, Usage
from safebox.firewall.connectors.prices import ModelPrice, inference_charges
from safebox.firewall.core.action import Action
from safebox.firewall.core.arguments import Chat
from safebox.firewall.errors import CallerError, ConfigError, EffectError
from safebox.firewall.loading import load
from safebox.firewall.ports import Charge, Deliver, Outcome, Quote, RunView

if TYPE_CHECKING:
    import aiohttp

CONNECT_SECONDS, SILENCE_SECONDS, TOTAL_SECONDS = 10, 120, 900
"""A slow model may think for two minutes before its first word; no answer takes more than a quarter of an hour."""
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
ERROR_CHARACTERS_MAX: Final = 1000
_KEY_STATUSES: Final = (401, 403)
_ERROR_STATUS: Final = 400


class InferenceConnector:
    """Asks one model provider.

    Args:
        url: its base URL, as in `https://host/v1`.
        prices: micro-USD per 1000 tokens of each model that may be asked.
        default: the price of every other model; None if no other may be asked.
        key: its API key, if it wants one.
    """

    name = "inference"

    def __init__(
        self, url: str, prices: dict[str, ModelPrice], *, default: ModelPrice | None = None, key: str | None = None
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ConfigError("the model provider's address is no http or https URL", remedy="write https://host/v1")
        self._url = url.rstrip("/")
        self._prices = dict(prices)
        self._default = default
        self._key = key
        self._session: aiohttp.ClientSession | None = None

    async def quote(self, action: Action, run: RunView) -> Quote:
        """Bound what the request can cost.

        Raises:
            CallerError: It has parts whose cost can't be bounded.
        """
        chat = _chat(action)
        wire.check(chat)
        size, price = len(wire.encode(chat, stream=chat.stream)), self._prices.get(chat.model, self._default)
        facts = {"prompt_bytes": size, "max_tokens": chat.max_tokens, "model_known": price is not None}
        plan: dict[str, Any] = {"prompt_bytes": size, "max_tokens": chat.max_tokens or 0}
        if price is not None:
            plan["price"] = {"input": price.input, "output": price.output}
        return Quote(charges=_worst(plan), facts={"inference": facts}, plan=plan)

    async def perform(self, action: Action, run: RunView, plan: dict[str, Any], deliver: Deliver | None) -> Outcome:
        """Ask the provider; with `deliver` and `stream`, pass each event on as it comes (all but `[DONE]`).

        Raises:
            EffectError: The provider couldn't be reached, or (`unknown`) broke off before its answer was complete.
        """
        chat = _chat(action)
        stream = chat.stream and deliver is not None
        headers = {"Content-Type": "application/json"} | self._authorization()
        body = wire.encode(chat, stream=stream)
        url = f"{self._url}/chat/completions"
        await load("aiohttp")
        import aiohttp

        run.last_look(action)
        try:
            async with self._open().post(url, data=body, headers=headers, allow_redirects=False) as response:
                if response.status != 200:  # noqa: PLR2004
                    return await self._refusal(response)
                if stream and deliver is not None:
                    return await _streamed(response, chat, plan, deliver)
                return await _whole(response, plan)
        except aiohttp.ClientConnectorError as error:
            raise EffectError("the model provider can't be reached; nothing was asked") from error
        except (aiohttp.ClientError, BrokenStreamError, TimeoutError, OSError) as error:
            cause = f"the model provider broke off ({type(error).__name__}); it may have charged"
            raise EffectError(cause, unknown=True) from error

    async def reconcile(self, action: Action, run: RunView, plan: dict[str, Any]) -> Outcome:
        """Say that it can't be known: a provider can't be asked about a past answer."""
        return Outcome(status="unknown", detail="a provider can't be asked whether it answered; charged at worst")

    async def healthy(self) -> bool:
        """Whether the provider answers."""
        await load("aiohttp")
        import aiohttp

        try:
            async with self._open().get(
                f"{self._url}/models", headers=self._authorization(), allow_redirects=False
            ) as response:
                return response.status == 200  # noqa: PLR2004
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def close(self) -> None:
        """Close the connections to the provider."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            timeout = aiohttp.ClientTimeout(
                total=TOTAL_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS
            )
            self._session = aiohttp.ClientSession(timeout=timeout)
        return self._session

    def _authorization(self) -> dict[str, str]:
        return {} if self._key is None else {"Authorization": f"Bearer {self._key}"}

    async def _refusal(self, response: aiohttp.ClientResponse) -> Outcome:
        """An error of the provider's, in its own words, except that nothing about our key gets through."""
        content = await response.content.read(4 * ERROR_CHARACTERS_MAX)
        text = " ".join(content.decode(errors="replace").split())[:ERROR_CHARACTERS_MAX]
        if response.status in _KEY_STATUSES or (self._key is not None and self._key in text):
            text = "the firewall's own access was refused"
        return Outcome(status="failed", detail=f"the model provider answered HTTP {response.status}: {text}")


def _chat(action: Action) -> Chat:
    if not isinstance(action.args, Chat):
        raise CallerError("not a chat completion")
    return action.args


async def _whole(response: aiohttp.ClientResponse, plan: dict[str, Any]) -> Outcome:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > ANSWER_BYTES_MAX:
            raise BrokenStreamError("the answer is too long")
    usage = wire.usage_of(bytes(content))
    result = cast("dict[str, Any]", msgspec.json.decode(bytes(content)))
    return Outcome(status="done", charges=_settled(plan, usage), result={"response": result})


async def _streamed(response: aiohttp.ClientResponse, chat: Chat, plan: dict[str, Any], deliver: Deliver) -> Outcome:
    usage: Usage | None = None
    listening, with_usage, size = True, wire.wants_usage(chat), 0
    async for event in wire.events(response.content.iter_any()):
        size += len(event)
        if size > ANSWER_BYTES_MAX:
            raise BrokenStreamError("the answer is too long")
        found = wire.usage_of(event) if b'"usage"' in event else None
        usage = found or usage
        if found is not None and not with_usage and wire.is_usage_only(event):
            continue
        if listening:
            listening = await _delivered(event, deliver)
    told: dict[str, int] = {} if usage is None else msgspec.to_builtins(usage)
    return Outcome(status="done", charges=_settled(plan, usage), result={"usage": told})


async def _delivered(event: bytes, deliver: Deliver) -> bool:
    """Whether the agent still listens; when it doesn't, the rest is read for its usage alone."""
    try:
        await deliver(event)
    except ConnectionError:
        return False
    return True


def _price(plan: dict[str, Any]) -> ModelPrice | None:
    return msgspec.convert(plan["price"], ModelPrice) if "price" in plan else None


def _worst(plan: dict[str, Any]) -> tuple[Charge, ...]:
    return inference_charges(_price(plan), int(plan["prompt_bytes"]), int(plan["max_tokens"]))


def _settled(plan: dict[str, Any], usage: Usage | None) -> tuple[Charge, ...]:
    if usage is None:
        return _worst(plan)
    return inference_charges(_price(plan), usage.prompt_tokens, usage.completion_tokens)
