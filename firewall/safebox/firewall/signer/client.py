"""The firewall's end: starts the signer's process, asks it, and starts it again when it is gone.

A signer that dies, hangs or says what can't be understood is a no for who asked, and the next question has a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
from pathlib import Path
from typing import Any, Final

from safebox.firewall.accounts import SignedTransaction, unsigned_transaction
from safebox.firewall.core.addresses import keccak256
from safebox.firewall.errors import ConfigError, EffectError
from safebox.firewall.keystore import OWNER
from safebox.firewall.signer import wire
from safebox.firewall.signer.process import Process, begin
from safebox.firewall.signer.refusal import NO_SIGNATURE, SignerRefused

_LOG = logging.getLogger(__name__)

START_SECONDS: Final = 60.0
"""Opening a key whose passphrase people chose takes a second or two; a busy machine takes the rest."""
ANSWER_SECONDS: Final = 10.0
LATER_SECONDS: Final = 10.0
"""How long what the ledger's file doesn't say yet is waited for: a long ledger is read at the start."""
_PAUSE_MIN, _PAUSE_MAX = 0.002, 0.1


class SignerClient:
    """A `SignerPort` over the signer's process.

    Args:
        state: the state folder with the keystore.
        ledger: the ledger's file.
        begun: a signer that was started for this already.

    `restarts` counts how often the signer had to be started again.
    """

    def __init__(self, state: Path, ledger: Path, begun: Process | None = None) -> None:
        self._state = state
        self._ledger = ledger
        self._begun = begun
        self._process: subprocess.Popen[bytes] | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()
        self._owner = ""
        self.restarts = 0

    @property
    def owner_address(self) -> str:
        """The owner's address, known since `start`."""
        return self._owner

    @property
    def pid(self) -> int | None:
        """The signer's process, if there is one."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Wait until the keys are open.

        Raises:
            ConfigError: if they can't be opened.
            EffectError: if the signer doesn't answer.
        """
        self._owner = await self.address_of(OWNER)

    async def address_of(self, signer: str) -> str:
        """The address of the owner or a run. Raises `EffectError` if the signer doesn't answer."""
        answer = await self._ask(wire.AddressOf(signer))
        if not isinstance(answer, wire.Address):
            raise _no(answer)
        return answer.address

    async def sign_transaction(self, signer: str, fields: dict[str, Any], decision: str) -> SignedTransaction:
        """Sign a transaction that this decision allows. Raises `EffectError` (nothing was sent)."""
        signed = await self._sign(
            wire.Sign(decision=decision, signer=signer, kind="transaction", content=_bytes(fields))
        )
        return SignedTransaction(signed, keccak256(signed))

    async def signed_before(self, signer: str, fields: dict[str, Any], decision: str) -> SignedTransaction | None:
        """What was signed for this decision, if just this was; None if it never was."""
        asked = wire.Sign(decision=decision, signer=signer, kind="transaction", content=_bytes(fields), again=True)
        answer = await self._until_said(asked)
        if isinstance(answer, wire.Never):
            return None
        if not isinstance(answer, wire.Signed):
            raise _no(answer)
        return SignedTransaction(answer.signature, keccak256(answer.signature))

    async def sign_typed_data(self, signer: str, typed_data: str, decision: str) -> bytes:
        """Sign typed data in normal form. Raises `EffectError` (nothing was signed)."""
        asked = wire.Sign(decision=decision, signer=signer, kind="typed_data", content=typed_data.encode())
        return await self._sign(asked)

    async def sign_message(self, signer: str, content: bytes, decision: str) -> bytes:
        """Sign a message (EIP-191). Raises `EffectError` (nothing was signed)."""
        return await self._sign(wire.Sign(decision=decision, signer=signer, kind="message", content=content))

    async def healthy(self) -> bool:
        """Whether the signer answers; one that is gone is started again by this."""
        try:
            return await self.address_of(OWNER) == self._owner
        except (EffectError, ConfigError):
            return False

    async def close(self) -> None:
        """Hang up, which ends the signer."""
        async with self._turn:
            self._drop()

    async def _sign(self, asked: wire.Sign) -> bytes:
        answer = await self._until_said(asked)
        if not isinstance(answer, wire.Signed):
            raise _no(answer)
        return answer.signature

    async def _until_said(self, asked: wire.Sign) -> wire.Answer:
        """Ask until the ledger's file says enough, but not long."""
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + LATER_SECONDS, _PAUSE_MIN
        while True:
            answer = await self._ask(asked)
            if not (isinstance(answer, wire.No) and answer.later) or loop.time() > end:
                return answer
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSE_MAX)

    async def _ask(self, question: wire.Question) -> wire.Answer:
        """Ask, to the end even if nobody waits any more: an answer left behind would be taken for the next one's."""
        return await asyncio.shield(self._exchange(question))

    async def _exchange(self, question: wire.Question) -> wire.Answer:
        async with self._turn:
            try:
                reader, writer = await self._connected()
                async with asyncio.timeout(ANSWER_SECONDS if self._owner else START_SECONDS):
                    writer.write(wire.frame(question))
                    await writer.drain()
                    size = wire.length(await reader.readexactly(wire.LENGTH_BYTES))
                    return wire.read_answer(await reader.readexactly(size))
            except (OSError, EOFError, TimeoutError, ValueError) as error:  # msgspec's errors are ValueErrors
                self._drop()
                raise EffectError("the signer does not answer; nothing was signed") from error

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            if self._owner:
                _LOG.error("the signer is gone; starting it again")
                self.restarts += 1
            begun, self._begun = self._begun or begin(self._state, self._ledger), None
            self._process = begun.process
            self._streams = await asyncio.open_unix_connection(sock=begun.connection)
        return self._streams

    def _drop(self) -> None:
        """End the signer there is."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
            self._process = None


def _bytes(fields: dict[str, Any]) -> bytes:
    try:
        return unsigned_transaction(fields)
    except (ValueError, KeyError) as error:
        raise EffectError(f"the transaction can't be signed: {error}") from error


def _no(answer: wire.Answer) -> EffectError | ConfigError:
    match answer:
        case wire.No(why="config"):
            return ConfigError(answer.cause, remedy=answer.remedy)
        case wire.No() if answer.why == NO_SIGNATURE:
            return EffectError(f"{answer.cause}; nothing was signed")
        case wire.No(later=True):
            return EffectError(f"the signer can't tell yet: {answer.cause}; nothing was signed")
        case wire.No():
            return SignerRefused(answer.why, answer.cause)
        case _:
            return EffectError("the signer answered something else; nothing was signed")
