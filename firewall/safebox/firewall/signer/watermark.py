"""What was signed, on disk before anybody has it: each nonce for one payload, each decision for one text.

One line of JSON for each signature, flushed to disk, read back at the start. A last line that is cut off was never
answered, so nobody has that signature. Anything else that can't be read keeps the signer from starting.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from safebox.firewall.durable import sync_folder
from safebox.firewall.errors import ConfigError
from safebox.firewall.signer.refusal import Refused

FILE_NAME: Final = "signed.jsonl"
LOCK_SECONDS: Final = 5.0

Place = tuple[int, str]
"""A wallet: chain and checksummed address."""
_NOWHERE: Final[tuple[Place, int]] = ((0, ""), -1)
Replacing = Literal["", "dearer", "cancel", "home"]
"""What a payload for a nonce that was signed before may be: the same at a higher fee, nothing to itself, or a sweep."""


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One signature: of a transaction with all of it, of a text with its decision and digest.

    `signature` is there if the same key would give another one the next time.
    Or, without any of these, `notary`, the key that vouches for the ledger, and `since`, when this file was begun.
    """

    digest: str = ""
    decision: str = ""
    chain: int = 0
    address: str = ""
    nonce: int = -1
    fee: int = 0
    signature: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{128}1[bc])?$")] = ""
    notary: str = ""
    since: int = 0


class Slot:
    """One nonce of a wallet: the decision it was signed for last, and the highest fee.

    `free`: the ledger says that it failed or got lost, so another allow may have the nonce: only one of them can be
    mined, and both stay reserved until it is known which. `over`: the ledger knows how it ended.
    """

    __slots__ = ("decision", "fee", "free", "over")

    def __init__(self, line: Line) -> None:
        self.decision = line.decision
        self.fee = line.fee
        self.free = self.over = False


class Watermark:
    """Remembers every signature. Use `open`."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _lock(self._file)
        self._slots: dict[Place, dict[int, Slot]] = {}
        self._at: dict[str, tuple[Place, int]] = {}
        self._digests: dict[str, list[str]] = {}
        self._signatures: dict[str, dict[str, str]] = {}
        self._texts: dict[str, str] = {}
        self.notary, self.since = "", 0
        for line in _lines(path):
            self._learn(line)
        if not self.since:
            self.keep(Line(since=time.time_ns()))
        sync_folder(path.parent)

    @classmethod
    def open(cls, folder: Path) -> Watermark:
        """The watermark in a state folder.

        Raises:
            ConfigError: if it is damaged, or can't be opened.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return cls(folder / FILE_NAME)
        except OSError as error:
            raise ConfigError(f"{folder / FILE_NAME} can't be used: {error.strerror}", remedy="restore it") from error
        except Refused as error:
            raise ConfigError(f"{folder / FILE_NAME} can't be used: {error.cause}", remedy="free space") from error

    def signed(self, decision: str, digest: str) -> bool:
        """Whether exactly this payload was signed for this decision."""
        return digest in self._digests.get(decision, ())

    def signature(self, decision: str, digest: str) -> str:
        """The signature of a transaction, in hexadecimal; empty if its key gives the same one again."""
        return self._signatures.get(decision, {}).get(digest, "")

    def address(self, decision: str) -> str:
        """By whose key a transaction of this decision was signed; empty if none was."""
        (_, address), _ = self._at.get(decision, _NOWHERE)
        return address

    def check(self, place: Place, line: Line, replacing: Replacing) -> None:
        """See that this payload may have the nonce.

        Raises:
            Refused: if the nonce is used up, or has another payload that this one may not replace.
        """
        slots = self._slots.get(place, {})
        slot = slots.get(line.nonce)
        if slot is None:
            if slots and line.nonce < max(slots):
                raise Refused("nonce_older", f"nonce {line.nonce} is older than one that was signed")
            return
        if replacing == "home" or (slot.free and not replacing):
            return
        if not replacing or slot.decision != line.decision:
            raise Refused("nonce_used", f"nonce {line.nonce} was signed for another payload")
        if line.fee <= slot.fee:
            raise Refused("nonce_used", f"what replaces nonce {line.nonce} must offer a higher fee")

    def text(self, decision: str) -> str | None:
        """The digest that was signed for a decision about a text; None if none was."""
        return self._texts.get(decision)

    def keep(self, line: Line) -> None:
        """Write a signature down; when this returns, it is on disk.

        Raises:
            Refused: if it can't be; then the signature must not be given out.
        """
        try:
            written = msgspec.json.encode(line) + b"\n"
            before = os.fstat(self._file).st_size
            whole = os.write(self._file, written) == len(written)
            os.fsync(self._file)
            if not whole:
                os.ftruncate(self._file, before)
        except OSError as error:
            raise Refused("unwritten", f"what is signed can't be written down: {error}") from error
        if not whole:
            raise Refused("unwritten", "there is no room to write down what is signed")
        self._learn(line)

    def settled(self, decision: str, status: str) -> None:
        """The ledger says how an action ended; a nonce is free again if it failed or is unknown."""
        place, nonce = self._at.get(decision, _NOWHERE)
        slots = self._slots.get(place, {})
        slot = slots.get(nonce)
        if slot is not None and slot.decision == decision:
            slot.free, slot.over = status != "done", status != "unknown"
            if slot.over and nonce < max(slots):
                del slots[nonce]
        if status != "unknown":
            for known in (self._at, self._digests, self._signatures, self._texts):
                known.pop(decision, None)

    def _learn(self, line: Line) -> None:
        if line.notary or line.since:
            self.notary, self.since = line.notary or self.notary, line.since or self.since
        elif line.nonce < 0:
            self._texts[line.decision] = line.digest
        else:
            place = line.chain, line.address
            slots = self._slots.setdefault(place, {})
            slot = slots.get(line.nonce)
            if slot is None or slot.decision != line.decision:
                for old in [each for each in slots if each < line.nonce and slots[each].over]:
                    del slots[old]
                slots[line.nonce] = Slot(line)
            else:
                slot.fee = max(slot.fee, line.fee)
            self._digests.setdefault(line.decision, []).append(line.digest)
            if line.signature:
                self._signatures.setdefault(line.decision, {})[line.digest] = line.signature
            self._at[line.decision] = place, line.nonce


def _lock(file: int) -> None:
    """Be the only signer of this file; one that was killed a moment ago may still be there.

    Raises:
        BlockingIOError: if another signer has it.
    """
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise
            time.sleep(LOCK_SECONDS / 100)
        else:
            return


def _lines(path: Path) -> list[Line]:
    """Every whole line; what follows the last line break was never answered, and is cut off."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    try:
        found = [msgspec.json.decode(each, type=Line) for each in whole.splitlines()]
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"{path} is damaged: {error}", remedy="restore it from a backup that is not older than any signature"
        ) from error
    if whole != content:
        os.truncate(path, len(whole))
    return found
