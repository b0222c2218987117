"""The OPA engine: the same Rego, asked of an OPA server that safebox loads and keeps loaded.

Rule 1: an answer counts only if it names the bundle that was asked. A server that restarted empty, is half loaded or
        holds another bundle says nothing that counts, and is loaded again by itself (`opa_load`).
Rule 2: a decision has its own deadline, and is asked once.
Rule 3: whatever the server does but answer is `PolicyUnavailable`.
Rule 4: what the embedded engine would not read (too large, not JSON, too deep) is not asked either: one answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import Any, Final, cast

import msgspec

from safebox.firewall.core.decision import Answer, Verdict, parse_answer
from safebox.firewall.engines.bundle import Bundle
from safebox.firewall.engines.embedded import ENTRYPOINT, INPUT_BYTES_MAX
from safebox.firewall.engines.opa_load import GATE, load
from safebox.firewall.engines.opa_server import OpaServer
from safebox.firewall.engines.probes import probes
from safebox.firewall.errors import PolicyUnavailable
from safebox.firewall.ports import EngineHealth

_LOG = logging.getLogger(__name__)

DECIDE_SECONDS: Final = 1.0
"""A thousand times an ordinary decision, and what the embedded engine has, too."""
KEEP_SECONDS: Final = 0.5
"""How often the server is looked at: with the loading, a restarted one answers again within about a second."""
DEPTH_MAX: Final = 127
"""Levels of arrays and objects; the embedded engine reads no more."""
_PASSING: Final = frozenset({"unreachable", "timeout", "missing"})
"""Kinds of failure that say nothing against a bundle: the server is not there, or somebody else uses it."""


class _Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bundle: str | msgspec.UnsetType = msgspec.UNSET
    decision: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Reply(msgspec.Struct, frozen=True):
    """OPA's reply; beside the result it may say what it was asked to log."""

    result: _Named | msgspec.UnsetType = msgspec.UNSET


class OpaPlace:
    """Where engines are made and kept: one OPA server, and the bundle it is to hold. An `engines.making.Place`.

    Args:
        address: `http://127.0.0.1:8181` or `unix:/path`.

    Raises:
        ConfigError: if that is no address of this machine.
    """

    def __init__(self, address: str) -> None:
        self.server = OpaServer(address)
        self._wanted: Bundle | None = None
        self._trouble: str | None = None
        self._turn = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None

    async def make(self, bundle: Bundle, program: bytes | None = None) -> OpaEngine:
        """Load a bundle, check it there, and keep it loaded from now on; the server has no use for a program.

        A server that can't be reached is loaded as soon as it can; until then its engine is not ready.

        Raises:
            PolicyUnavailable: if the server refuses the bundle; it goes on with the one before, if there was one.
        """
        engine = OpaEngine(self, bundle)
        async with self._turn:
            try:
                await self._bring(engine, bundle)
            except PolicyUnavailable as error:
                if error.kind not in _PASSING:
                    await self._take_back()
                    raise
                self._trouble = error.cause
            self._wanted = bundle
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="opa-keeper")
        return engine

    async def close(self) -> None:
        """Keep nothing loaded any more. What the server holds stays there."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        await self.server.close()

    @property
    def trouble(self) -> str | None:
        """Why the server does not answer by the bundle it is to hold; nothing if it does."""
        if self._keeper is not None and self._keeper.done():
            return f"the {self.server.name} is no longer watched; restart the firewall"
        return self._trouble

    async def _bring(self, engine: OpaEngine, bundle: Bundle) -> None:
        await load(self.server, bundle)
        await _probe(engine)
        self._trouble = None

    async def _take_back(self) -> None:
        if self._wanted is not None:
            try:
                await load(self.server, self._wanted)
            except PolicyUnavailable as error:
                self._trouble = error.cause

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            async with self._turn:
                if self._wanted is not None:
                    await self._look(self._wanted)

    async def _look(self, bundle: Bundle) -> None:
        """See that the server answers by the bundle, and load it if it doesn't."""
        try:
            async with asyncio.timeout(DECIDE_SECONDS):
                held = await self.server.value(f"{GATE}/bundle")
            if held != bundle.digest:
                _LOG.warning("the %s does not hold the policy in force; it is loaded again", self.server.name)
                await self._bring(OpaEngine(self, bundle), bundle)
            self._say(None)
        except TimeoutError:
            self._say(f"the {self.server.name} does not answer in time")
        except PolicyUnavailable as error:
            self._say(error.cause)

    def _say(self, trouble: str | None) -> None:
        if trouble != self._trouble:
            _LOG.log(logging.ERROR if trouble else logging.INFO, "%s", trouble or f"the {self.server.name} is in use")
        self._trouble = trouble


class OpaEngine:
    """An `Engine` (see `ports`): decides by one bundle, on a server that has to hold it.

    Args:
        place: keeps it loaded.
        bundle: judges.
    """

    def __init__(self, place: OpaPlace, bundle: Bundle) -> None:
        self._place = place
        self._digest = bundle.digest

    @property
    def bundle(self) -> str:
        """The digest of the bundle that judges."""
        return self._digest

    def health(self) -> EngineHealth:
        """Ready if the server held the bundle when it was last looked at, `KEEP_SECONDS` ago at most."""
        trouble = self._place.trouble
        return EngineHealth(trouble is None, trouble or f"policy {self.bundle} on the {self._place.server.name}")

    async def decide(self, document: bytes) -> Answer:
        """Judge one policy input, given as JSON.

        Raises:
            PolicyUnavailable: for everything that is not exactly an answer by this engine's bundle, in time.
        """
        check_input(document)
        try:
            async with asyncio.timeout(DECIDE_SECONDS):
                body = await self._place.server.ask(GATE, document)
        except TimeoutError as error:
            cause = f"the {self._place.server.name} took longer than {DECIDE_SECONDS:.0f} s"
            raise PolicyUnavailable(cause, kind="timeout") from error
        return self._read(body)

    def _read(self, body: bytes) -> Answer:
        name = self._place.server.name
        try:
            result = _REPLIES.decode(body).result
            json.loads(body, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            raise PolicyUnavailable(f"the {name} gives no answer of OPA's: {error}", kind="shape") from error
        if isinstance(result, msgspec.UnsetType) or result.bundle != self._digest:
            raise PolicyUnavailable(f"the {name} holds another policy; it is being loaded again", kind="missing")
        if isinstance(result.decision, msgspec.UnsetType):
            raise PolicyUnavailable(f"{ENTRYPOINT} is undefined", kind="undefined")
        return parse_answer(bytes(result.decision))


_REPLIES: Final = msgspec.json.Decoder(_Reply, strict=True)


def check_input(document: bytes) -> None:
    """Let through what every engine reads as one JSON value, and nothing else.

    Raises:
        PolicyUnavailable: if it is too large, too deep, or no JSON.
    """
    if len(document) > INPUT_BYTES_MAX:
        raise PolicyUnavailable("the policy input is too large", kind="input")
    try:
        value = msgspec.json.decode(document)
    except (ValueError, RecursionError) as error:
        raise PolicyUnavailable(f"the policy input is not JSON: {error}", kind="input") from error
    if document.count(b"[") + document.count(b"{") > DEPTH_MAX and _depth(value) > DEPTH_MAX:
        raise PolicyUnavailable("the policy input is nested too deeply", kind="input")


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [
            item
            for each in cast("list[dict[str, Any] | list[Any]]", level)
            for item in (each.values() if isinstance(each, dict) else each)
        ]
    return depth


async def _probe(engine: OpaEngine) -> None:
    """Ask everything that must be denied, of the server this time.

    Raises:
        PolicyUnavailable: if one is not.
    """
    for name, document in probes():
        answer = await engine.decide(document)
        if answer.verdict is not Verdict.DENY:
            raise PolicyUnavailable(f"the OPA server says {answer.verdict} to {name}", kind="broken")


def _unique(pairs: list[tuple[str, Any]]) -> None:
    """Refuse what says a thing twice."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key is there twice")
