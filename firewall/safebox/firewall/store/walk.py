"""One pass over a ledger, from its first record to its last, that goes on past whatever is wrong.

It does only the hashing that the answers need, keeps nothing of a record it has passed, and tells the watchers when
the tree has grown to a size they have something to say about. So its memory doesn't grow with the ledger.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final, Protocol

from safebox.firewall.core.checkpoint import Checkpoint, Verifier, read
from safebox.firewall.core.merkle import LEAF, Tree
from safebox.firewall.core.record import (
    GENESIS,
    Decided,
    LaunchDecided,
    LedgerEvent,
    RunStarted,
    Settled,
    decode_event,
)
from safebox.firewall.errors import ConfigError
from safebox.firewall.store.approved import Approved
from safebox.firewall.store.reader import DAMAGE

PROGRESS_EVERY: Final = 10_000
"""Records between two calls of the progress callback."""
NEVER: Final = 1 << 63
"""A size no ledger reaches: SQLite numbers records with 63 bits."""

Progress = Callable[[int, int], None]
Row = tuple[int, bytes, bytes]


class Watcher(Protocol):
    """Has something to say about the tree at certain sizes."""

    due: int
    """The next size it wants to see; `NEVER` if none."""

    def see(self, tree: Tree) -> None:
        """Look at the tree of `due` records, and choose the next size."""
        ...


class Effects:
    """Counts outcomes that no allow precedes: the same judgement as the books', without their memory."""

    def __init__(self) -> None:
        self.without_allow = 0
        self._runs: set[str] = set()
        self._open: set[str] = set()

    def apply(self, event: LedgerEvent) -> None:
        """Take one more event into account.

        Raises:
            KeyError: if it speaks of a run that the ledger doesn't know.
        """
        match event:
            case Decided():
                self._known(event.run)
                if event.allowed:
                    self._open.add(event.action_id)
            case Settled():
                self._known(event.run)
                if event.action_id not in self._open:
                    self.without_allow += 1
                elif event.status != "unknown":
                    self._open.discard(event.action_id)
            case RunStarted():
                self._runs.add(event.run)
            case LaunchDecided():
                pass  # of a run that isn't one yet
            case _:
                self._known(getattr(event, "run", None))

    def _known(self, run: str | None) -> None:
        if run is not None and run not in self._runs:
            raise KeyError(run)


class Walk:
    """The pass: `count` records were read, `head` is the hash of the last, `problem` the first that is wrong."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._watchers = watchers
        self.tree = Tree()
        self.effects = Effects()
        self.approved = Approved()
        self.head = GENESIS
        self.count = 0
        self.gap = NEVER
        """The first record that is missing although later ones are there."""
        self.problem: tuple[int | None, str] | None = None

    def over(self, db: sqlite3.Connection, progress: Progress | None) -> None:
        """Read every record of a ledger."""
        try:
            (total,) = db.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
            self._through(db.execute("SELECT seq, body, hash FROM events ORDER BY seq"), total, progress)
        except DAMAGE as error:
            self._wrong(None, f"the file is damaged: {error}")

    def _through(self, rows: Iterable[Row], total: int, progress: Progress | None) -> None:
        grow, due = self.tree.append, self._due()
        for seq, found, stored in rows:
            self.count += 1
            body = found if type(found) is bytes else b""
            link = sha256(self.head + body).digest()
            if link != stored or seq != self.count:
                self._misplaced(seq)
            self.head = stored if type(stored) is bytes else link
            grow(sha256(LEAF + body).digest())
            self._understand(body)
            if self.count == due:
                due = self._show(due)
            if progress is not None and self.count % PROGRESS_EVERY == 0:
                progress(self.count, total)

    def _understand(self, body: bytes) -> None:
        try:
            event = decode_event(body)
            self.effects.apply(event)
            self.approved.apply(event)
        except (ValueError, TypeError, KeyError) as error:  # msgspec's errors are ValueErrors
            self._wrong(self.count, f"record {self.count} can't be understood: {error}")

    def _misplaced(self, seq: object) -> None:
        if isinstance(seq, int) and seq > self.count:
            self.gap = min(self.gap, self.count)
            self._wrong(self.count, f"record {self.count} is missing")
        else:
            self._wrong(self.count, f"record {self.count} is not the one that was written")

    def _wrong(self, at: int | None, problem: str) -> None:
        if self.problem is None:
            self.problem = at, problem

    def _due(self) -> int:
        return min((watcher.due for watcher in self._watchers), default=NEVER)

    def _show(self, due: int) -> int:
        for watcher in self._watchers:
            if watcher.due == due:
                watcher.see(self.tree)
        return self._due()


class Signatures:
    """What the ledger's own checkpoints vouch for, one by one as the tree grows past them.

    `signed_to` is the record up to which they are good, `problem` what is wrong with the first that isn't.

    Args:
        db: the ledger.
        key: checks the signatures.
        outermost: look only at the first and the last. The last one's root covers every record before it, and checking
            a signature takes as long as ten records.
    """

    def __init__(self, db: sqlite3.Connection, key: Verifier, *, outermost: bool = False) -> None:
        self._key = key
        self._which = "WHERE size IN (SELECT min(size) FROM checkpoints UNION SELECT max(size) FROM checkpoints)"
        if not outermost:
            self._which = ""
        self._any = False
        self.signed_to = 0
        self.problem: str | None = None
        self._notes = db.cursor()
        self._begin()

    def _begin(self) -> None:
        try:
            self._notes.execute(f"SELECT size, note FROM checkpoints {self._which} ORDER BY size")  # noqa: S608 - ours
        except DAMAGE as error:
            self._wrong(f"the checkpoints can't be read: {error}")
        else:
            self._next()

    def see(self, tree: Tree) -> None:
        """Look at the checkpoint of this size."""
        try:
            checkpoint = read(self._note, self._key)
        except ConfigError as error:
            self._wrong(f"checkpoint {tree.size}: {error.cause}")
            return
        if (checkpoint.size, checkpoint.root) == (tree.size, tree.root()):
            self.signed_to = tree.size
            self._next()
        else:
            self._wrong(f"checkpoint {tree.size} is of another history than the records")

    def end(self, count: int) -> None:
        """Say what is wrong with the checkpoints of a ledger that ends here."""
        self._notes.close()
        if self.due != NEVER:
            self._wrong(f"checkpoint {self.due} speaks of records that are not there")
        elif count and not self._any:
            self._wrong("no checkpoint is there, and each ledger begins with one")

    def _next(self) -> None:
        """Go on to the next checkpoint; that of no records comes before any record is read."""
        try:
            size, note = self._notes.fetchone() or (NEVER, "")
        except DAMAGE as error:
            self._wrong(f"the checkpoints can't be read: {error}")
            return
        self.due, self._note = size, str(note)
        self._any = self._any or size != NEVER
        if type(size) is not int or size < 0:
            self._wrong(f"checkpoint {size} speaks of no records there could be")
        elif size == 0:
            self.see(Tree())

    def _wrong(self, problem: str) -> None:
        self.due = NEVER
        self.problem = self.problem or problem


class KeptElsewhere:
    """What checkpoints that were kept elsewhere say of the ledger."""

    def __init__(self, kept: Sequence[Checkpoint]) -> None:
        self._kept = sorted(kept, key=lambda each: -each.size)
        self._roots: dict[Checkpoint, bytes] = {}
        self.due = NEVER
        self._next(Tree())

    def see(self, tree: Tree) -> None:
        """Remember the root beside the checkpoints of this size."""
        self._next(tree)

    def _next(self, tree: Tree) -> None:
        while self._kept and self._kept[-1].size <= tree.size:
            self._roots[self._kept.pop()] = tree.root()
        self.due = self._kept[-1].size if self._kept else NEVER

    def answers(self, gap: int) -> tuple[bool, bool | None]:
        """Whether all records they name are there, and whether those are the same; None if none of them can say."""
        whole = {each: root for each, root in self._roots.items() if each.size < gap}
        complete = not self._kept and len(whole) == len(self._roots)
        told = complete or any(each.size for each in whole)
        return complete, all(each.root == root for each, root in whole.items()) if told else None
