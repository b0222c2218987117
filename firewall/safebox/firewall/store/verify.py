"""Verification that needs only the file and the public key, and answers four questions one by one.

- intact: every record hashes onto the one before it, none is missing between, and each can be understood;
- signed: up to which record good checkpoints in the file vouch for the tree;
- complete: every record that checkpoints kept elsewhere name is there;
- consistent: those records are the ones these checkpoints saw, so history was not rewritten since.

Each answer stands for itself: a broken chain doesn't make what was kept elsewhere say no, nor the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from safebox.firewall.core.checkpoint import Checkpoint, Verifier
from safebox.firewall.core.merkle import EMPTY_ROOT
from safebox.firewall.core.record import GENESIS
from safebox.firewall.store.reader import open_ledger
from safebox.firewall.store.walk import NEVER, KeptElsewhere, Progress, Signatures, Walk


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found.

    `head` is the last hash and `root` the tree's (hex); `at` is the first record that is wrong. `signed_to` is None
    without a key; `complete` and `consistent` are None without a checkpoint from elsewhere, and `consistent` also if
    none of the records it names can be compared. `effects_without_allow` counts outcomes that no allow precedes,
    `votes_unsigned` answers of people without a good signature, `allows_unapproved` allows whose hold had not passed.
    """

    intact: bool
    events: int
    head: str
    root: str = ""
    problem: str | None = None
    at: int | None = None
    signed_to: int | None = None
    signature_problem: str | None = None
    complete: bool | None = None
    consistent: bool | None = None
    effects_without_allow: int = 0
    votes_unsigned: int = 0
    allows_unapproved: int = 0

    @property
    def sound(self) -> bool:
        """Whether nothing that was asked had a bad answer."""
        bad = (self.problem, self.signature_problem)
        asked = (self.intact, self.complete is not False, self.consistent is not False)
        undue = self.effects_without_allow + self.votes_unsigned + self.allows_unapproved
        return all(asked) and not any(bad) and not undue


def verify(
    path: Path,
    progress: Progress | None = None,
    *,
    key: Verifier | None = None,
    kept: Sequence[Checkpoint] = (),
    outermost: bool = False,
) -> VerifyReport:
    """Check a ledger from its first record to its last.

    Args:
        path: the ledger's database file.
        progress: told (checked, of) from time to time.
        key: checks the signatures; without it they aren't looked at.
        kept: checkpoints that were kept elsewhere.
        outermost: check the signatures of the first and the last checkpoint only; see `Signatures`.

    Raises:
        ConfigError: if there is no file, and no checkpoint says that there was one.
    """
    if kept and not path.is_file():
        return _gone(kept)
    with open_ledger(path) as db:
        signatures = None if key is None else Signatures(db, key, outermost=outermost)
        elsewhere = KeptElsewhere(kept)
        walk = Walk([each for each in (signatures, elsewhere) if each is not None])
        walk.over(db, progress)
        if signatures is not None:
            signatures.end(walk.count)
    at, problem = walk.problem or (None, None)
    complete, consistent = elsewhere.answers(walk.gap) if kept else (None, None)
    return VerifyReport(
        intact=problem is None,
        events=walk.count,
        head=walk.head.hex(),
        root=walk.tree.root().hex(),
        problem=problem,
        at=at,
        signed_to=None if signatures is None else signatures.signed_to,
        signature_problem=None if signatures is None else signatures.problem,
        complete=complete,
        consistent=consistent,
        effects_without_allow=walk.effects.without_allow,
        votes_unsigned=walk.approved.unsigned,
        allows_unapproved=walk.approved.unearned,
    )


def _gone(kept: Sequence[Checkpoint]) -> VerifyReport:
    """The whole file is gone: nothing in it is wrong, but what was kept elsewhere names records."""
    complete, consistent = KeptElsewhere(kept).answers(NEVER)
    return VerifyReport(
        intact=True, events=0, head=GENESIS.hex(), root=EMPTY_ROOT.hex(), complete=complete, consistent=consistent
    )
