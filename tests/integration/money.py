"""The part of a firewall that moves money, on a real chain: pipeline, books, chain connector, treasury and recovery.

`die` forgets everything but the ledger and the chain, as SIGKILL does. Time can be made to pass.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from safebox.firewall.connectors.care import Care
from safebox.firewall.connectors.chain import ChainConnector
from safebox.firewall.connectors.jsonrpc import Node
from safebox.firewall.connectors.lending import Holdings
from safebox.firewall.core.action import Call
from safebox.firewall.core.money import Amount
from safebox.firewall.core.record import Decided, Received, RunEnded, Settled, encode_event
from safebox.firewall.core.reply import Reply
from safebox.firewall.core.total import Ask, Reading, no_prices
from safebox.firewall.drill.clock import StepClock
from safebox.firewall.drill.judge import Unwatched
from safebox.firewall.evidence import Evidence
from safebox.firewall.keystore import Keystore
from safebox.firewall.ledger import Ledger
from safebox.firewall.lifecycle import started_event
from safebox.firewall.mandate.file import load
from safebox.firewall.metrics import Metrics
from safebox.firewall.pipeline import Pipeline
from safebox.firewall.ports import Connector, Engine
from safebox.firewall.recovery import Doubts, recover, view_of
from safebox.firewall.runs import Run, Runs
from safebox.firewall.signer.trusting import TrustingSigner
from safebox.firewall.treasury import Treasury
from tests.integration.chain_nodes import CHAIN_ID, TREASURY
from tests.twins import MemoryStore, ScriptedEngine

_NUMBERS: Final = itertools.count(1)
"""Every run has a wallet of its own, also where several tests share a chain."""
ETHER, CENT, GWEI = 10**18, 10**16, 10**9
PAYEE = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
MANDATE = f"""
[agent]
name = "payer"
command = ["true"]
purpose = "Pay one payee."
task = "Pay."
expires = "1h"
[wallet]
chain = "dev"
budget = "1 ETH"
per_transfer = "0.5 ETH"
max_fee_per_gas = "100 gwei"
[wallet.payees]
acme = "{PAYEE}"
"""


class Money:
    """One run with a wallet on the chain at `url`. `open` it first, `close` it at the end.

    `made` is for addresses of contracts that a test deployed.
    """

    def __init__(
        self,
        url: str,
        key: bytes,
        *,
        mandate: str = MANDATE,
        engine: Engine | None = None,
        confirmations: int = 1,
        care: Care | None = None,
        receipt_seconds: int = 0,
        prices: Ask = no_prices,
    ) -> None:
        self.url = url
        self.key = key
        self.mandate = mandate
        self.engine: Engine = engine or ScriptedEngine()
        self.confirmations = confirmations
        self.care = care
        self.receipt_seconds = receipt_seconds
        self.prices = prices
        self.node = Node(url)
        self.clock = StepClock()
        self.store = MemoryStore()
        self.metrics = Metrics()
        self.name = f"run_{next(_NUMBERS)}"
        self.payee_before = 0
        self.made: dict[str, str] = {}
        self.notes: list[str] = []

    async def have_treasury(self) -> None:
        """Give the owner money, where there is none."""
        owner = Keystore(self.key).owner_address
        if await self.balance(owner) == 0:
            await self.node.call("anvil_setBalance", owner, hex(TREASURY))

    async def open(self, *, fund: bool = True, lend: bool = False) -> None:
        """Give the owner a treasury, start the run, and fund it; with `lend` in tokens, too."""
        await self.have_treasury()
        file = load(self.mandate, now=datetime.fromtimestamp(self.clock.now_ns() / 1e9, UTC), source="safebox.toml")
        address = Keystore(self.key).create_for_run(self.name)
        self.store.records.append(
            encode_event(started_event(self.name, file, address, None, "none", self.clock.now_ns(), lends=lend))
        )
        self.live()
        self.payee_before = await self.balance(PAYEE)
        if fund:
            await self.treasury.fund(self.run)
        if lend and fund:
            self.notes = await self.treasury.fund_tokens(self.run)

    def live(self) -> None:
        """Make a firewall of what the ledger says."""
        self.ledger, self.runs = Ledger(self.store), Runs()
        self.chain = ChainConnector(
            self.url,
            CHAIN_ID,
            TrustingSigner(Keystore(self.key)),
            receipt_seconds=self.receipt_seconds,
            confirmations=self.confirmations,
            care=self.care,
            now=self.clock.now_ns,
        )
        self.connectors: dict[str, Connector] = {"chain": self.chain}
        book = self.ledger.book(self.name)
        self.run = Run(view_of(book.started), book, Evidence({}))
        self.runs.add(self.run)
        self.pipeline = Pipeline(
            engine=self.engine,
            ledger=self.ledger,
            connectors=self.connectors,
            clock=self.clock,
            runs=self.runs,
            metrics=self.metrics,
            watch=Unwatched(),
            prices=self._price,
        )
        owner = Keystore(self.key).owner_address
        holdings = Holdings(self.node, self.confirmations)
        self.treasury = Treasury(
            self.pipeline, self.runs, owner, self.chain.balance, self.metrics, self._received, holdings
        )

    async def _received(self, run: str, amount: Amount) -> None:
        await self.ledger.note(Received(at_ns=self.clock.now_ns(), run=run, amount=amount))

    def _price(self, asset: str) -> Reading | None:
        return self.prices(asset)  # also after a test gave it others

    async def die(self) -> None:
        """What memory held is gone; another firewall takes over what is on disk."""
        await self.chain.close()
        self.clock.advance(1)
        self.live()

    async def close(self) -> None:
        await self.chain.close()
        await self.node.close()

    async def pay(self, amount: str = "0.1 ETH", *, to: str = PAYEE, **more: Any) -> Reply:
        arguments = {"to": to, "amount": amount, **more}
        return await self.pipeline.handle(Call(run=self.name, tool="wallet.transfer", arguments=arguments))

    async def look(self, seconds: int = 0) -> list[Settled]:
        """Ask about everything that isn't settled, after so much time; what became known."""
        self.clock.advance(seconds)
        parts = self.ledger, self.connectors, self.clock, self.runs
        return [*await recover(*parts), *await Doubts(*parts).ask()]

    async def end(self) -> Reply | None:
        """The run is over: what is left comes home."""
        self.run.stopped = "over"
        swept = await self.treasury.sweep(self.run)
        await self.ledger.note(RunEnded(at_ns=self.clock.now_ns(), run=self.name, reason="exited", exit_code=0))
        self.runs.remove(self.name)
        return swept

    async def mine(self, blocks: int = 1) -> None:
        await self.node.call("anvil_mine", hex(blocks))

    async def balance(self, address: str) -> int:
        return await self.node.quantity("eth_getBalance", address, "latest")

    async def paid(self) -> int:
        """What the payee got since the start."""
        return await self.balance(PAYEE) - self.payee_before

    @property
    def address(self) -> str:
        assert self.run.view.address is not None
        return self.run.view.address

    @property
    def wallet(self) -> dict[str, int]:
        """The wallet's line in the books."""
        line = self.run.book.lines["wallet", "ETH"]
        return {"spent": line.spent, "reserved": line.reserved, "granted": line.granted}

    @property
    def decided(self) -> list[Decided]:
        """What the agent was allowed, in order."""
        return [
            each for each in self.store.events if isinstance(each, Decided) and each.caller == "agent" and each.allowed
        ]

    async def waiting(self) -> list[dict[str, Any]]:
        """This wallet's transactions that the node has and no block."""
        pool: Any = await self.node.call("txpool_content")
        mine = (each for sender, each in pool["pending"].items() if sender.lower() == self.address.lower())
        return [transaction for by_nonce in mine for transaction in by_nonce.values()]

    async def check(self) -> None:
        """What the books say the wallet holds is what it holds, and nothing was overspent."""
        line = self.run.book.lines["wallet", "ETH"]
        assert line.reserved == 0, "something isn't settled"
        assert line.spent <= line.granted
        assert self.run.book.holding("wallet", "ETH") == await self.balance(self.address)

    def told(self) -> bytes:
        """Everything that was written down."""
        return b"\n".join(self.store.records)


def plan_of(decided: Decided) -> dict[str, Any]:
    """A decision's plan, as it is on disk."""
    plan: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(decided.plan))
    return plan
