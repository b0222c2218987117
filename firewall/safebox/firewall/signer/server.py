"""Answers one connection: whose address, and signatures for what the ledger allows."""

from __future__ import annotations

import select
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from safebox.firewall.accounts import signed_transaction
from safebox.firewall.core.addresses import keccak256
from safebox.firewall.core.checkpoint import Verifier
from safebox.firewall.core.record import Decided
from safebox.firewall.errors import ConfigError, EffectError
from safebox.firewall.keystore import OWNER, Keystore
from safebox.firewall.signer import allow, wire
from safebox.firewall.signer.record import Record, Standing
from safebox.firewall.signer.refusal import NO_SIGNATURE, Refused
from safebox.firewall.signer.watermark import Line, Watermark

IDLE_SECONDS: Final = 5.0
"""How often the ledger is read while nobody asks, so that nobody who asks waits for much of it."""
STEPS_MAX: Final = 5
"""A hundred thousand records read for one question; then whoever asks is told to ask again."""
ADDRESSES_KEPT: Final = 10_000


class Signer:
    """Signs for the owner and for runs.

    Args:
        keystore: has the keys.
        ledger: the ledger's file.
        notary: the file with the notary's public key.
        watermark: remembers what was signed.
        now_ns: this process's own clock.
    """

    def __init__(
        self,
        keystore: Keystore,
        ledger: Path,
        notary: Path,
        watermark: Watermark,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._keystore = keystore
        self._notary = notary
        self._watermark = watermark
        self._now_ns = now_ns
        self._known: OrderedDict[str, str] = OrderedDict()
        self._record = Record(ledger, self._notarys_key, watermark.settled)

    def answer(self, question: wire.Question) -> wire.Answer:
        """Answer one question; never raises for what is asked."""
        try:
            if isinstance(question, wire.AddressOf):
                return wire.Address(self._address_of(question.signer))
            return self._sign(question)
        except Refused as error:
            return wire.No(error.why, error.cause, later=error.later)
        except EffectError as error:  # of who holds the owner's key
            return wire.No(NO_SIGNATURE, error.cause)

    def read_on(self) -> bool:
        """Read the ledger a little further; whether there may be more."""
        try:
            return self._record.follow()
        except Refused:
            return False  # whoever asks is told

    def _sign(self, asked: wire.Sign) -> wire.Answer:
        steps = 0
        while self._record.follow():
            steps += 1
            if steps == STEPS_MAX:
                raise Refused("reading", "the ledger is being read", later=True)
        decided, unknown = self._record.allow(asked.decision)
        if allow.KINDS.get(decided.tool) != asked.kind:
            raise Refused("another_tool", "the decision is about something else")
        if allow.signer_for(decided) != asked.signer:
            raise Refused("another_key", "the decision is about another key")
        if asked.kind == "transaction":
            return self._transaction(asked, decided, unknown=unknown)
        return self._text(asked, decided, unknown=unknown)

    def _transaction(self, asked: wire.Sign, decided: Decided, *, unknown: bool) -> wire.Answer:
        if self._watermark.signed(decided.decision, keccak256(asked.content).hex()):
            return wire.Signed(self._signed_again(asked))
        if asked.again and decided.at_ns > self._watermark.since:
            return wire.Never()
        run = self._record.standing(decided.run)
        known = allow.Addresses(*map(self._address_of, (asked.signer, decided.run, OWNER)))
        found = allow.read_transaction(decided, asked.content, run, known)
        fields = found.fields or {}
        place = fields["chainId"], known.signer
        line = Line(
            digest=found.digest.hex(),
            decision=decided.decision,
            chain=fields["chainId"],
            address=known.signer,
            nonce=fields["nonce"],
            fee=fields["maxFeePerGas"],
        )
        allow.check_standing(decided, run, cancelling=found.replacing == "cancel")
        if found.replacing not in ("dearer", "cancel"):
            self._check_new(decided, run, unknown=unknown)
        self._watermark.check(place, line, found.replacing)
        return wire.Signed(self._signed_first(asked, line))

    def _text(self, asked: wire.Sign, decided: Decided, *, unknown: bool) -> wire.Answer:
        run = self._record.runs.get(decided.run)
        if run is None:
            raise Refused("stopped", "the run has ended")
        typed = asked.kind == "typed_data"
        found = (
            allow.read_typed_data(decided, asked.content, run, self._address_of(asked.signer))
            if typed
            else allow.read_message(decided, asked.content)
        )
        digest, before = found.digest.hex(), self._watermark.text(decided.decision)
        if before is None:
            if asked.again:
                return wire.Never()
            allow.check_standing(decided, run, cancelling=False)
            self._check_new(decided, run, unknown=unknown)
            self._watermark.keep(Line(digest=digest, decision=decided.decision))
        elif before != digest:
            raise Refused("not_the_action", "another text was signed for this decision")
        return wire.Signed(self._signature(asked.signer, found.digest))

    def _check_new(self, decided: Decided, run: Standing, *, unknown: bool) -> None:
        if unknown:
            raise Refused("settled", "the outcome of this decision was recorded as unknown, so it is not begun anew")
        allow.check_fresh(decided, run, self._now_ns())

    def _signed_first(self, asked: wire.Sign, line: Line) -> bytes:
        """A transaction that was never signed; nobody has it before it is written down."""
        signature = self._signature(asked.signer, keccak256(asked.content))
        if not self._keystore.repeats(asked.signer):
            line = msgspec.structs.replace(line, signature=signature.hex())
        self._watermark.keep(line)
        return signed_transaction(asked.content, lambda _: signature).raw_transaction

    def _signed_again(self, asked: wire.Sign) -> bytes:
        """A transaction that was signed before, byte for byte.

        Raises:
            Refused: if the key that signed it is not the one there is now.
        """
        digest = keccak256(asked.content)
        kept = self._watermark.signature(asked.decision, digest.hex())
        same = self._watermark.address(asked.decision) == self._address_of(asked.signer)
        if not same or not (kept or self._keystore.repeats(asked.signer)):
            raise Refused("another_key", "it was signed when somebody else held the key")
        signature = bytes.fromhex(kept) or self._signature(asked.signer, digest)
        return signed_transaction(asked.content, lambda _: signature).raw_transaction

    def _signature(self, signer: str, digest: bytes) -> bytes:
        """Have a run's key only while it is used."""
        if signer != OWNER:
            self._keystore.create_for_run(signer)
        try:
            return self._keystore.sign_digest(signer, digest)
        finally:
            self._keystore.forget_run(signer)

    def _address_of(self, signer: str) -> str:
        if signer == OWNER:
            return self._keystore.owner_address
        found = self._known.get(signer)
        if found is None:
            if not signer:
                raise Refused("no_run", "no run has this name")
            found = self._known[signer] = self._keystore.create_for_run(signer)
            self._keystore.forget_run(signer)
            if len(self._known) > ADDRESSES_KEPT:
                self._known.popitem(last=False)
        return found

    def _notarys_key(self) -> Verifier:
        """The notary's public key as it was the first time; another one later is somebody else's.

        Raises:
            ConfigError: if it can't be read, or has changed.
        """
        if not self._watermark.notary:
            self._watermark.keep(Line(notary=_read_key(self._notary).text()))
        key = Verifier.parse(self._watermark.notary)
        if _read_key(self._notary) != key:
            raise ConfigError("the notary's key is another one than at first", remedy="restore the keystore folder")
        return key


def _read_key(path: Path) -> Verifier:
    try:
        return Verifier.parse(path.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} can't be read", remedy="restore the keystore folder") from error


def serve(connection: socket.socket, signer: Signer) -> None:
    """Answer until the other side hangs up or says what can't be understood."""
    more = True
    while True:
        ready, _, _ = select.select([connection], [], [], 0 if more else IDLE_SECONDS)
        if not ready:
            more = signer.read_on()
            continue
        try:
            asked = wire.receive(connection)
            if asked is None:
                return
            question = wire.read_question(asked)
        except (ValueError, RecursionError, OSError):  # msgspec's errors are ValueErrors
            return
        connection.sendall(wire.frame(signer.answer(question)))
