"""The ledger as the signer reads it: from the file, record by record, believed as far as the notary signed.

It follows the chain of hashes from the first record and keeps what it needs to say whether something may be signed:
which allows are open, which runs were stopped. What stops counts as soon as it is in the file, signed or not; what
allows counts once a checkpoint covers it. A file that doesn't continue what was read before is believed no more.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from safebox.firewall.core.checkpoint import Verifier, read
from safebox.firewall.core.keys import UsedKeys
from safebox.firewall.core.merkle import Tree, leaf_hash
from safebox.firewall.core.record import GENESIS, Decided, chain, decode_event
from safebox.firewall.errors import ConfigError
from safebox.firewall.signer.births import MARK, Births
from safebox.firewall.signer.refusal import Refused
from safebox.firewall.store.reader import DAMAGE

STEP: Final = 20_000
"""Records read at once: a tenth of a second, in which nobody is answered."""
_TAG: Final = b'{"event":"'
_WALLET: Final = b'"tool":"wallet.'
_READ: Final = (b"run_", b"wallet_", b"settled", b"decided")


class _Wallet(msgspec.Struct, frozen=True):
    chain_id: int


class _Token(msgspec.Struct, frozen=True):
    address: str
    standard: str = "erc20"


class _Mandate(msgspec.Struct, frozen=True):
    expires: str
    wallet: _Wallet | None = None
    tokens: tuple[_Token, ...] | None = None


class _View(msgspec.Struct, frozen=True):
    parent: str | None = None


class _Started(msgspec.Struct, frozen=True):
    run: str
    run_view: _View
    mandate: msgspec.Raw
    spawned_by: str | None = None


class _About(msgspec.Struct, frozen=True):
    """A stop, or the end of one."""

    event: str
    run: str


class _Verdict(msgspec.Struct, frozen=True):
    verdict: str


class _Decided(msgspec.Struct, frozen=True):
    decision: str
    answer: _Verdict


class _Settled(msgspec.Struct, frozen=True):
    decision: str
    status: str


class Standing:
    """What the file says of a run: its chain, its tokens and its mandate's end, and which of the stops hold.

    `unallowed` says that it, or a run above it, calls itself a child that no allow names.
    """

    __slots__ = ("chain_id", "ended", "expires", "frozen", "killed", "parent", "paused", "tokens", "unallowed")

    def __init__(self, mandate: _Mandate, parent: Standing | None) -> None:
        self.chain_id = None if mandate.wallet is None else mandate.wallet.chain_id
        self.tokens = frozenset(each.address for each in mandate.tokens or () if each.standard == "erc20")
        self.expires = mandate.expires
        self.parent = parent
        self.unallowed: bool = parent is not None and parent.unallowed
        self.killed = self.paused = self.frozen = self.ended = False

    def stopped(self) -> str:
        """What keeps its agent from signing, itself or above it; empty if nothing does."""
        one: Standing | None = self
        while one is not None:
            if one.killed or one.ended or one.paused or one.frozen:
                return next(mark for mark in ("killed", "ended", "paused", "frozen") if getattr(one, mark))
            one = one.parent
        return ""


class Record:
    """Follows one ledger file.

    Args:
        path: the file.
        key: gives the notary's public key; raises `ConfigError` if there is none yet.
        settled: is told how an action of a wallet ended, by its decision.
    """

    def __init__(self, path: Path, key: Callable[[], Verifier], settled: Callable[[str, str], None]) -> None:
        self._path = path
        self._key = key
        self._told = settled
        self._db: sqlite3.Connection | None = None
        self._seq, self._head = 0, GENESIS
        self._tree = Tree()
        self._leaves: list[bytes] = []
        self._next: tuple[int, str] | None = None
        self._covered = 0
        self._fault = ""
        self._open: dict[str, int] = {}
        self._unknown: set[str] = set()
        self._over = UsedKeys()
        self._births = Births()
        self.runs: dict[str, Standing] = {}
        self._ended: dict[str, Standing] = {}

    def follow(self) -> bool:
        """Read on, at most `STEP` records; whether there may be more.

        Raises:
            Refused: if the file can't be read now, or is not to be believed.
        """
        if self._fault:
            raise Refused("rewritten", self._fault)
        try:
            self._find_note()
            count = self._read_on()
        except DAMAGE as error:
            self._close()
            raise Refused("unreadable", f"the ledger can't be read: {error}", later=True) from error
        self._believe()
        return count == STEP

    def allow(self, decision: str) -> tuple[Decided, bool]:
        """The open allow of this name, and whether its outcome is already said to be unknown.

        Raises:
            Refused: if there is none, it is over, or no good checkpoint covers it yet.
        """
        if decision in self._over:
            raise Refused("settled", "this decision has had its effect, or is there twice")
        seq = self._open.get(decision)
        if seq is None:
            raise Refused("no_record", "the ledger has no such allow for a wallet")
        if seq > self._covered:
            raise Refused("uncovered", "no checkpoint of the notary covers this allow yet", later=True)
        try:
            (body,) = self._opened().execute("SELECT body FROM events WHERE seq = ?", (seq,)).fetchone() or (b"",)
            event = decode_event(body)
        except (*DAMAGE, msgspec.DecodeError) as error:
            raise Refused("unreadable", "the record can't be read") from error
        if not isinstance(event, Decided) or event.decision != decision or not event.allowed:
            raise Refused("no_record", "the record is not that of an allow of this name")
        return event, decision in self._unknown

    def standing(self, run: str) -> Standing:
        """What the file says of a run, also of one that has ended.

        Raises:
            Refused: if it never started.
        """
        found = self.runs.get(run) or self._ended.get(run)
        if found is None:
            raise Refused("stopped", "there is no such run")
        return found

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            self._db = sqlite3.connect(uri, uri=True, isolation_level=None)
        return self._db

    def _close(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _find_note(self) -> None:
        """Choose the checkpoint to read up to: the newest there is, unless one is on the way already."""
        if self._next is None:
            newest = "SELECT size, note FROM checkpoints WHERE size > ? ORDER BY size DESC LIMIT 1"
            self._next = self._opened().execute(newest, (self._covered,)).fetchone()

    def _read_on(self) -> int:
        db = self._opened()
        if self._seq:
            last = db.execute("SELECT hash FROM events WHERE seq = ?", (self._seq,)).fetchone()
            if last is None or last[0] != self._head:
                self._wrong("the ledger's file is not the one that was read before")
        count, due = 0, self._next[0] if self._next is not None else 0
        rows = db.execute("SELECT seq, body, hash FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (self._seq, STEP))
        for seq, body, stored in rows:
            count += 1
            if seq != self._seq + 1 or type(body) is not bytes or chain(self._head, body) != stored:
                self._wrong(f"record {seq} of the ledger is not in the chain")
            self._seq, self._head = seq, stored
            self._take(seq, body)
            if seq <= due and not self._leaves:
                self._tree.append(leaf_hash(body))
            else:
                self._leaves.append(leaf_hash(body))
        return count

    def _believe(self) -> None:
        """Believe what the checkpoint covers once all of it was read, if the notary signed this very history."""
        if self._next is None or self._next[0] > self._seq:
            return
        size, note = self._next
        missing = size - self._tree.size
        for leaf in self._leaves[:missing]:
            self._tree.append(leaf)
        del self._leaves[:missing]
        try:
            said = read(str(note), self._key())
        except ConfigError as error:
            self._wrong(f"checkpoint {size} is not the notary's: {error.cause}")
            return
        if (said.size, said.root) != (self._tree.size, self._tree.root()):
            self._wrong("the notary signed another history than the file has")
        self._next, self._covered = None, size

    def _wrong(self, fault: str) -> NoReturn:
        self._fault = fault
        raise Refused("rewritten", fault)

    def _take(self, seq: int, body: bytes) -> None:
        """Keep what matters of one more record."""
        if not body.startswith(_TAG):
            self._wrong(f"record {seq} of the ledger can't be understood")
        if not body.startswith(_READ, len(_TAG)):
            return
        try:
            if body.startswith(b"decided", len(_TAG)):
                self._decided(seq, body)
            elif body.startswith(b"settled", len(_TAG)):
                self._settled(body)
            elif body.startswith(b"run_started", len(_TAG)):
                self._started(_STARTED.decode(body))
            else:
                self._about(_ABOUT.decode(body))
        except msgspec.DecodeError as error:
            self._wrong(f"record {seq} of the ledger can't be understood: {error}")

    def _decided(self, seq: int, body: bytes) -> None:
        if MARK in body:
            self._births.decided(body)
        if _WALLET not in body:  # the encoder writes it so; a text that imitates it changes nothing
            return
        event = _DECIDED.decode(body)
        if event.answer.verdict != "allow":
            return
        if event.decision in self._open:  # twice is one too many: neither counts
            del self._open[event.decision]
            self._over.add(event.decision)
        else:
            self._open[event.decision] = seq

    def _settled(self, body: bytes) -> None:
        if MARK in body:
            self._births.settled(body)
        if _WALLET not in body:
            return
        event = _SETTLED.decode(body)
        self._told(event.decision, event.status)
        if event.status == "unknown":
            self._unknown.add(event.decision)
            return
        self._unknown.discard(event.decision)
        self._over.add(event.decision)
        self._open.pop(event.decision, None)

    def _started(self, event: _Started) -> None:
        before = self.runs.get(event.run) or self._ended.get(event.run)
        if before is not None:  # a run starts once; a second start would lift what stopped it
            before.killed = True
            return
        above = event.run_view.parent
        parent = None if above is None else self.runs.get(above)
        run = Standing(_MANDATE.decode(event.mandate), parent)
        if above is not None:
            named = self._births.named(above, event.spawned_by, event.run, bytes(event.mandate))
            run.unallowed = run.unallowed or not named
        run.killed = above is not None and parent is None  # it came after its parent's end: nobody can stop it any more
        self.runs[event.run] = run

    def _about(self, event: _About) -> None:
        run = self.runs.get(event.run)
        if run is None:  # it is over, and signs nothing anyway
            return
        match event.event:
            case "run_killed":
                run.killed = True
            case "run_ended":
                run.ended = True
                self._births.ended(event.run)
                self._ended[event.run] = self.runs.pop(event.run)
            case "run_paused" | "run_resumed":
                run.paused = event.event == "run_paused"
            case "wallet_frozen" | "wallet_thawed":
                run.frozen = event.event == "wallet_frozen"
            case _:
                pass


_MANDATE: Final = msgspec.json.Decoder(_Mandate)
_STARTED: Final = msgspec.json.Decoder(_Started)
_ABOUT: Final = msgspec.json.Decoder(_About)
_DECIDED: Final = msgspec.json.Decoder(_Decided)
_SETTLED: Final = msgspec.json.Decoder(_Settled)
