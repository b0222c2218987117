"""One run from its mandate to its end: recorded, given an identity and money, attached to its listeners, swept."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Container, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from safebox.firewall.clock import SystemClock
from safebox.firewall.core.action import canonical
from safebox.firewall.core.arguments import StartRun
from safebox.firewall.core.books import RunBook
from safebox.firewall.core.kinship import depth_of
from safebox.firewall.core.mandate import Mandate, encode_mandate, mandate_digest
from safebox.firewall.core.record import RunEnded, RunStarted
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.credentials import canary
from safebox.firewall.errors import ConfigError, FirewallError
from safebox.firewall.evidence import Evidence
from safebox.firewall.gateways.limits import PORTS
from safebox.firewall.gateways.server import GatewayServer
from safebox.firewall.launch import Launches
from safebox.firewall.ledger import Ledger
from safebox.firewall.mandate.file import RunFile, load
from safebox.firewall.ports import SignerPort
from safebox.firewall.recovery import view_of
from safebox.firewall.runs import Run, RunNotLive, Runs
from safebox.firewall.sources import read_sources
from safebox.firewall.treasury import Treasury

_LOG = logging.getLogger(__name__)


class Lifecycle:
    """Starts, attaches, restores and ends runs; nothing they send may hold one of `secrets`."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        runs: Runs,
        signer: SignerPort,
        treasury: Treasury,
        gateways: GatewayServer,
        clock: SystemClock,
        launches: Launches,
        connectors: Container[str],
        secrets: tuple[bytes, ...] = (),
    ) -> None:
        self._launches = launches
        self._ledger = ledger
        self._runs = runs
        self._signer = signer
        self._treasury = treasury
        self._gateways = gateways
        self._clock = clock
        self._connectors = connectors
        self._secrets = secrets

    async def start(self, mandate: str, source: str, folder: str | None, engine: str) -> dict[str, Any]:
        """Start a run under a mandate file's text; returns its id, address, ports and environment.

        Raises:
            ConfigError: if the mandate is wrong, policy says no, or the wallet can't be funded.
            PolicyUnavailable: if policy doesn't say.
            LedgerUnavailable: if the start can't be recorded.
        """
        file = load(mandate, now=datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC), source=source)
        check_connectors(file.mandate, self._connectors)
        run_id = self._clock.new_id("run")
        address = await self._signer.address_of(run_id) if file.mandate.wallet is not None else None
        started = started_event(run_id, file, address, folder, engine, self._clock.now_ns(), lends=True)
        return await self.begin(started, file)

    async def start_child(
        self, run: str, file: RunFile, parent: RunBook, spawned_by: str, last_look: Callable[[], None]
    ) -> dict[str, Any]:
        """Start a child of a run by the action that was allowed for it; returns and raises as `begin` does."""
        address = await self._signer.address_of(run) if file.mandate.wallet is not None else None
        above = msgspec.json.decode(parent.started.run_view)
        plain = started_event(
            run, file, address, parent.started.folder, above["engine"], self._clock.now_ns(), lends=True
        )
        kin = {"parent": parent.started.run, "root": parent.root, "depth": depth_of(parent) + 1}
        view = msgspec.Raw(canonical({**msgspec.json.decode(plain.run_view), **kin}))
        return await self.begin(msgspec.structs.replace(plain, run_view=view, spawned_by=spawned_by), file, last_look)

    async def begin(
        self, started: RunStarted, file: RunFile, last_look: Callable[[], None] = lambda: None
    ) -> dict[str, Any]:
        """Let a run begin, by whomever it is started, and fund it. Returns and raises as `start` does.

        Args:
            started: its start, not recorded yet.
            file: what that was made of.
            last_look: raises if whoever started it was stopped meanwhile; called when nothing is left to wait for.

        Raises:
            ValueError: if the books refuse a child; nothing began.
        """
        asked = StartRun(agent=file.name, image=file.image, command=file.command, task=file.task)
        await self._launches.decide(started, asked)
        last_look()
        await self._ledger.start(started)
        run, run_id, address = self._adopt(started), started.run, msgspec.json.decode(started.run_view)["address"]
        reply = await self._treasury.fund(run)
        if reply is not None and reply.status is not Status.DONE:
            await self.end(run_id, "not_funded", None)
            raise ConfigError(
                f"the run's wallet can't be funded: {reply.message}",
                remedy="lower wallet.budget, or fund the owner's address",
                code=reply.code,
            )
        return {
            "run": run_id,
            "notes": await self._treasury.fund_tokens(run),
            "address": address,
            "ports": list(PORTS.values()),
            "environment": environment(run_id, file, address),
            "command": list(file.command),
            "image": file.image,
            "agent": file.name,
        }

    def restore(self) -> list[str]:
        """Take up the runs that had not ended when the last firewall did; they act again once they are attached."""
        restored: list[str] = []
        for run_id, book in self._ledger.books.runs.items():
            if book.ended is None:
                self._adopt(book.started)
                restored.append(run_id)
        return restored

    async def attach(self, run: str, listeners: Sequence[socket.socket]) -> None:
        """Serve a run's listeners.

        Raises:
            RunNotLive: if there is no such run, or it was stopped.
            ConfigError: if the listeners aren't one for each gateway.
        """
        found = self._runs.find(run)
        if found.why is not None:
            raise RunNotLive(f"the run is {found.why}")
        if len(listeners) != len(PORTS):
            raise ConfigError(f"{len(listeners)} listeners were handed over, expected {len(PORTS)}")
        await self._gateways.detach(run)
        await self._gateways.attach(run, listeners)
        found.pause_told = False  # to this launcher
        self._runs.tell_standing()

    async def end(self, run_id: str, reason: str, exit_code: int | None) -> dict[str, Any]:
        """Stop a run for good: no more calls, money swept, end recorded.

        Raises:
            LedgerUnavailable: if the end can't be recorded; the run acts no more all the same.
        """
        run = self._runs.find(run_id)
        run.stopped = run.stopped or "over"
        self._runs.tell_stop([below for below in self._runs.all() if below.descends_from(run_id)], "parent_ended")
        await self._gateways.detach(run_id)
        swept = await self._swept(run)
        reason = reason if run.book.killed is None else "killed"
        ended = RunEnded(at_ns=self._clock.now_ns(), run=run_id, reason=reason, exit_code=exit_code)
        await self._ledger.note(ended)
        self._runs.tell(ended)
        self._runs.remove(run_id)
        return {"run": run_id, "reason": reason, "swept": swept}

    async def _swept(self, run: Run) -> str:
        try:
            reply: Reply | None = await self._treasury.sweep(run)
        except FirewallError as error:
            _LOG.warning("the wallet of %s could not be swept: %s", run.view.id, error.cause)
            return "failed"
        return "nothing" if reply is None else str(reply.status)

    def _adopt(self, started: RunStarted) -> Run:
        view = view_of(started)
        folder = Path(started.folder) if started.folder is not None else None
        texts = {"the task": started.task, "the mandate": bytes(started.mandate).decode()}
        sources = read_sources(folder, texts, inbox=started.inbox)
        secrets = (canary(started.run).encode(), *self._secrets)
        run = Run(view, self._ledger.book(started.run), Evidence(sources, secrets))
        self._runs.add(run)
        return run


def check_connectors(mandate: Mandate, connectors: Container[str]) -> None:
    """See that every section of a mandate can be used here: a grant that never could be is a mistake.

    Raises:
        ConfigError: if this firewall has no connector for a section.
    """
    for section, connector in mandate.needs().items():
        if connector not in connectors:
            raise ConfigError(
                f"the mandate grants [{section}], and this firewall has no connector for it",
                remedy=f"take the section [{section}] out of the mandate",
                code="mandate.no_connector",
            )


def environment(run: str, file: RunFile, address: str | None) -> dict[str, str]:
    """What an agent finds in its environment: the ecosystem's own names, so that unmodified programs work."""
    inference = file.mandate.inference
    found = {
        "SAFEBOX_URL": f"http://127.0.0.1:{PORTS['tools']}",
        "SAFEBOX_RUN_ID": run,
        "SAFEBOX_TASK": file.task,
        "OPENAI_BASE_URL": f"http://127.0.0.1:{PORTS['inference']}/v1",
        "OPENAI_API_KEY": canary(run),
        "OPENAI_MODEL": inference.models[0] if inference is not None and inference.models else "",
        "WEB3_PROVIDER_URI": f"http://127.0.0.1:{PORTS['ethereum']}",
        "WEB3_WS_PROVIDER_URI": f"ws://127.0.0.1:{PORTS['ethereum']}",
        "WALLET_ADDRESS": address or "",
    }
    return {name: value for name, value in found.items() if value}


def started_event(
    run: str, file: RunFile, address: str | None, folder: str | None, engine: str, now: int, *, lends: bool = False
) -> RunStarted:
    """What the ledger keeps of a start; `lends` says that tokens are lent to it, too."""
    shown = {
        "id": run,
        "agent": file.name,
        "image": file.image,
        "depth": 0,
        "parent": None,
        "root": run,
        "engine": engine,
        "address": address,
        "state": "live",
    }
    return RunStarted(
        at_ns=now,
        run=run,
        run_view=msgspec.Raw(canonical(shown)),
        mandate=msgspec.Raw(encode_mandate(file.mandate)),
        mandate_digest=mandate_digest(file.mandate),
        folder=folder,
        task=file.task,
        inbox=file.inbox,
        lends=lends,
    )
