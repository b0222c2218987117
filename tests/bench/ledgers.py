"""A ledger of a million records, as a busy firewall would have left it, written by the store's own writer."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from safebox.firewall.core.action import Call
from safebox.firewall.core.record import Decided, Settled, decode_event, encode_event
from safebox.firewall.store.notary import Notary
from safebox.firewall.store.sqlite import SqliteStore
from tests.bench.firewall import Rig, run_started

RUNS: Final = 50
BATCH: Final = 2_000
"""Records in one append: what is measured is the ledger, not how it came to be."""
STEP_NS: Final = 1_000_000
"""Between two records: a thousand a second."""
CALLS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("email.list", {}),
    ("email.send", {"to": ["a@b.example"], "subject": "Weekly report", "body": "All invoices are paid. " * 25}),
    ("email.send", {"to": ["c@d.example"], "subject": "Hello", "body": "Have you read this?"}),
)
"""A read, a mail, and a mail that is refused: two records for each that is allowed, one for a refusal."""


async def build(folder: Path, events: int) -> Path:
    """Write a ledger with so many records of `RUNS` runs, signed, each action under a key as safebox's client sends."""
    notary = Notary.open(folder / "keystore")
    path = folder / "ledger.sqlite3"
    store = SqliteStore(path, notary=notary)
    records = _records(await _templates(), time.time_ns() - events * STEP_NS)
    pending: asyncio.Future[None] | None = None
    for start in range(0, events, BATCH):
        batch = list(itertools.islice(records, min(BATCH, events - start)))
        if pending is not None:
            await pending
        pending = store.append(batch)
    if pending is not None:
        await pending
    store.close()
    return path


async def _templates() -> list[list[bytes]]:
    """The records of each call, as a real pipeline wrote them."""
    found: list[list[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="sb-") as folder:
        rig = Rig(Path(folder))
        for tool, arguments in CALLS:
            before = rig.store.seq
            await rig.pipeline.handle(Call(run="run_1", tool=tool, arguments=arguments, key="0" * 32))
            await rig.store.append([])
            found.append(list(rig.store.read())[before:])
        rig.store.close()
        del rig
        gc.collect()  # a policy engine ends only in the thread that made it, and garbage in whichever runs
    return found


def _records(templates: list[list[bytes]], now: int) -> Iterator[bytes]:
    for number in range(1, RUNS + 1):
        yield encode_event(run_started(f"run_{number}", now))
    for count in itertools.count():
        run = b'"run":"run_%d"' % (count % RUNS + 1)
        names = {b"dec": b"dec_%026d" % count, b"act": b"act_%026d" % count}
        key = b'"key":"%s"' % secrets.token_hex(16).encode()
        for template in templates[count % len(templates)]:
            now += STEP_NS
            yield _filled(template, now, run, names, key)


def _filled(template: bytes, now: int, run: bytes, names: dict[bytes, bytes], key: bytes) -> bytes:
    event = _known(template)
    return (
        template.replace(b"%d" % event.at_ns, b"%d" % now, 1)
        .replace(event.decision.encode(), names[b"dec"])
        .replace(event.action_id.encode(), names[b"act"])
        .replace(b'"run":"run_1"', run, 1)
        .replace(b'"key":"%s"' % (b"0" * 32), key, 1)
    )


_decoded: dict[bytes, Decided | Settled] = {}


def _known(template: bytes) -> Decided | Settled:
    found = _decoded.get(template)
    if found is None:
        event = decode_event(template)
        assert isinstance(event, Decided | Settled), json.loads(template)
        found = _decoded[template] = event
    return found
