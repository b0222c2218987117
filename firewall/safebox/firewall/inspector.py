"""Verifies a firewall's own ledger at its start and again and again; until it does, no agent is told yes.

The books in memory may be right all the same. But what is spent and granted is what the file says, now and for the next
firewall, and somebody or something changed it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from pathlib import Path
from typing import Final

from safebox.firewall.core.checkpoint import Verifier
from safebox.firewall.errors import SafeboxError
from safebox.firewall.ledger import Ledger
from safebox.firewall.metrics import Metrics
from safebox.firewall.store.sqlite import SqliteStore
from safebox.firewall.store.verify import VerifyReport, verify

_LOG = logging.getLogger(__name__)

FIRST_SECONDS: Final = 2.0
"""A hundred thousand records. Until more are verified, agents are told to ask again."""
SHORTEST_SECONDS: Final = 5.0
LONGEST_SECONDS: Final = 300.0
SHARE: Final = 50
"""Between two verifications passes so many times what one takes: it costs a fiftieth of one processor at most."""


class Inspector:
    """Looks after one ledger.

    Args:
        path: its file.
        key: checks its signatures.
        ledger: is told whether the file can be believed.
        store: signs only while it can.
        metrics: are told, too.
    """

    def __init__(self, path: Path, key: Verifier, ledger: Ledger, store: SqliteStore, metrics: Metrics) -> None:
        self._path = path
        self._key = key
        self._ledger = ledger
        self._store = store
        self._metrics = metrics
        self._told = 0
        self._looked = asyncio.Event()
        self._believe("it has not been verified since the start")

    async def work(self) -> None:
        """Verify, again and again, until this is cancelled."""
        while True:
            started = time.monotonic()
            await self.look()
            await asyncio.sleep(min(LONGEST_SECONDS, max(SHORTEST_SECONDS, SHARE * (time.monotonic() - started))))

    async def looked(self) -> None:
        """Wait for the first verification, but not long: a large ledger is not to keep runs from their owner."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await self._looked.wait()

    async def look(self) -> None:
        """Verify once; what seems wrong is looked at a second time before it counts.

        The first time only the outermost checkpoints are looked at: a firewall that was killed is to be back soon, and
        the rest of them vouch for no record that the last one doesn't.
        """
        report = await asyncio.to_thread(self._verified)
        if not report.sound:
            report = await asyncio.to_thread(self._verified)
        self._metrics.ledger_verified(intact=report.sound)
        while self._told < report.effects_without_allow:
            self._metrics.effect_without_allow()
            self._told += 1
        fault = report.problem or report.signature_problem
        if fault is not None and fault != self._ledger.fault:
            _LOG.error("the ledger does not verify, so nothing is allowed: %s; run safebox audit verify", fault)
        self._believe(fault)
        self._looked.set()

    def _believe(self, fault: str | None) -> None:
        self._ledger.fault = fault
        self._store.signing = fault is None

    def _verified(self) -> VerifyReport:
        try:
            return verify(self._path, key=self._key, outermost=not self._looked.is_set())
        except (SafeboxError, sqlite3.Error, UnicodeDecodeError) as error:
            return VerifyReport(intact=False, events=0, head="", problem=str(error))
