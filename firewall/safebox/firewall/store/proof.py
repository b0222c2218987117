"""Proof that one record is in the ledger a signed checkpoint speaks of; checked with the public key alone."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any, Final

import msgspec

from safebox.firewall.core.checkpoint import Verifier, read
from safebox.firewall.core.merkle import HASH_BYTES, leaf_hash, prove_inclusion, verify_inclusion
from safebox.firewall.core.record import Decided, RunStarted, Settled, decode_event
from safebox.firewall.errors import ConfigError
from safebox.firewall.store.reader import DAMAGE, open_ledger
from safebox.firewall.store.walk import PROGRESS_EVERY, Progress

PATH_MAX: Final = 64
"""Hashes in a path: one for each level of a tree, and no tree has more records than a 64-bit number counts."""


class Proof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What proves one record: the record itself, its place, the path to the root, and who signed the root."""

    index: int
    record: str
    path: tuple[str, ...]
    checkpoint: str


def prove(ledger: Path, identity: str, progress: Progress | None = None) -> list[Proof]:
    """Prove every signed record that carries an id: a decision's, an action's or a run's start.

    Args:
        ledger: the ledger's file. All its records are hashed; only those that are proved are kept.
        identity: the whole id.
        progress: told (hashed, of) from time to time.

    Raises:
        ConfigError: if no signed record has it, or the file is no ledger.
    """
    leaves: list[bytes] = []
    found: list[tuple[int, bytes]] = []
    with open_ledger(ledger) as db:
        try:
            size, note = db.execute("SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1").fetchone() or (
                0,
                "",
            )
            for (body,) in db.execute("SELECT body FROM events WHERE seq <= ? ORDER BY seq", (size,)):
                if identity.encode() in body and _carries(body, identity):
                    found.append((len(leaves), body))
                leaves.append(leaf_hash(body))
                if progress is not None and len(leaves) % PROGRESS_EVERY == 0:
                    progress(len(leaves), size)
        except (*DAMAGE, ValueError, TypeError) as error:  # msgspec's errors are ValueErrors
            raise ConfigError(
                f"{ledger} is not a readable ledger: {error}", remedy="run safebox audit verify"
            ) from error
    if not found:
        raise ConfigError(f"no signed record has the id {identity!r}", remedy="safebox audit tail --json shows ids")
    return [
        Proof(
            index=index,
            record=base64.b64encode(body).decode(),
            path=tuple(base64.b64encode(node).decode() for node in prove_inclusion(leaves, index)),
            checkpoint=note,
        )
        for index, body in found
    ]


def check(proof: Proof, key: Verifier) -> dict[str, Any]:
    """Check a proof and return the event it proves, as it was written.

    Raises:
        ConfigError: if it proves nothing. Fails closed.
    """
    checkpoint = read(proof.checkpoint, key)
    try:
        record = base64.b64decode(proof.record, validate=True)
        path = [base64.b64decode(node, validate=True) for node in proof.path[: PATH_MAX + 1]]
        decode_event(record)
    except (binascii.Error, msgspec.DecodeError) as error:
        raise ConfigError(f"the proof is damaged: {error}") from error
    sized = len(path) <= PATH_MAX and all(len(node) == HASH_BYTES for node in path)
    if not sized or not verify_inclusion(leaf_hash(record), proof.index, checkpoint.size, path, checkpoint.root):
        raise ConfigError("the record is not in the ledger this checkpoint speaks of")
    event: dict[str, Any] = msgspec.json.decode(record)
    return event


def _carries(body: bytes, identity: str) -> bool:
    match decode_event(body):
        case Decided(decision=decision, action_id=action) | Settled(decision=decision, action_id=action):
            return identity in (decision, action)
        case RunStarted(run=run):
            return identity == run
        case _:
            return False
