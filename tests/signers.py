"""A signer's process over a real ledger file, asked directly: what a gateway could do that somebody else took over."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from safebox.firewall.accounts import unsigned_transaction
from safebox.firewall.connectors.transaction import Offer, Payment, as_plan
from safebox.firewall.core.action import Call
from safebox.firewall.core.addresses import checksummed
from safebox.firewall.core.approving import approval_data
from safebox.firewall.core.decision import Answer, Verdict
from safebox.firewall.core.document import decided_event, shown_action, understand
from safebox.firewall.core.leaves import Reading
from safebox.firewall.core.mandate import TokenGrant
from safebox.firewall.core.money import Amount, token_asset
from safebox.firewall.core.movements import sent
from safebox.firewall.core.record import Charge, Decided, LedgerEvent, RunStarted, Settled, encode_event
from safebox.firewall.core.signing import SignMessage, SignTypedData
from safebox.firewall.core.tools import TOOLS, Caller
from safebox.firewall.core.x402 import PayRequest
from safebox.firewall.keystore import OWNER, Keystore
from safebox.firewall.lifecycle import started_event
from safebox.firewall.mandate.file import load
from safebox.firewall.signer import wire
from safebox.firewall.signer.process import Process, begin
from safebox.firewall.store.notary import Notary
from safebox.firewall.store.sqlite import SqliteStore
from tests.calls import TOKEN
from tests.kin import allow_for, child
from tests.twins import MANDATE, PAYEE

CHAIN_ID = 31337
GWEI = 10**9
FEE, TIP, GAS = 20 * GWEI, GWEI, 21_000
RESERVED = 10**18
COIN, CLUB = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", checksummed(b"\xc1\xab" * 10)
"""A token and a collection of things that every mandate here lists."""
SECONDS = 20
"""A signer whose ledger's file doesn't say more is not waited for longer."""


def wei(units: int) -> Amount:
    return Amount(units, "ETH")


def grant(name: str, address: str, standard: str = "erc20") -> TokenGrant:
    some = Amount(100, token_asset(address))
    return TokenGrant(
        name=name, address=address, decimals=0, budget=some, per_approval=some, spenders=(), standard=standard
    )


@dataclass
class Book:
    """A ledger with its notary, written as the firewall writes it."""

    folder: Path
    notary: Notary = field(init=False)
    store: SqliteStore = field(init=False)
    keystore: Keystore = field(init=False)
    loop: asyncio.AbstractEventLoop = field(init=False)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.keystore = Keystore.open(self.folder / "keystore", self.folder / "passphrase", scrypt_n=2**12)
        self.notary = Notary.open(self.folder / "keystore")
        self.loop = asyncio.new_event_loop()
        self.store = SqliteStore(self.ledger, notary=self.notary)

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.sqlite3"

    def write(self, *events: LedgerEvent, sealed: bool = True) -> None:
        async def append() -> None:
            await self.store.append([encode_event(event) for event in events], sealed=sealed)

        self.loop.run_until_complete(append())

    def close(self) -> None:
        self.store.close()
        self.loop.close()

    def run(self, *, chain_id: int = CHAIN_ID, parent: str | None = None) -> str:
        """Start a run of its own; a child comes of an allow."""
        event = self.start(chain_id)
        if parent is not None:
            self.write(self.birth(event, parent))
            event = child(event, parent)
        self.write(event)
        return event.run

    def birth(self, event: RunStarted, parent: str, **changes: Any) -> Decided:
        """The allow that a child comes of."""
        return msgspec.structs.replace(allow_for(event, parent), at_ns=time.time_ns(), **changes)

    def start(self, chain_id: int = CHAIN_ID) -> RunStarted:
        """A run's start, not written yet."""
        name = f"run_{next(self._numbers):04d}"
        file = load(MANDATE, now=datetime.now(UTC), source="safebox.toml")
        assert file.mandate.wallet is not None
        wallet = msgspec.structs.replace(file.mandate.wallet, chain_id=chain_id)
        listed = (grant("COIN", COIN), grant("CLUB", CLUB, standard="erc721"))
        mandate = msgspec.structs.replace(file.mandate, wallet=wallet, tokens=listed)
        file = msgspec.structs.replace(file, mandate=mandate)
        return started_event(name, file, self.address(name), None, "none", time.time_ns())

    def address(self, signer: str) -> str:
        return self.keystore.owner_address if signer == OWNER else self.keystore.create_for_run(signer)

    def decided(self, run: str, tool: str, arguments: Any, plan: dict[str, Any], **changes: Any) -> Decided:
        """An allow as the pipeline records it, not written yet."""
        caller = TOOLS[tool].caller
        call = Call(run=run, tool=tool, arguments=arguments, caller=caller)
        number = next(self._numbers)
        action = understand(call, TOOLS[tool], f"act_{number:04d}", time.time_ns())
        charges = (Charge("wallet", wei(RESERVED)),) if caller is Caller.AGENT else ()
        shown, answer = shown_action(action, TOOLS[tool]), Answer(Verdict.ALLOW, (), {})
        event = decided_event(action, answer, f"dec_{number:04d}", "sha256:test", charges, plan, shown, shown)
        return msgspec.structs.replace(event, **changes)

    def payment(self, run: str, *, nonce: int = 0, **changes: Any) -> Payment:
        plain: dict[str, Any] = {
            "signer": run, "sender": self.address(run), "chain_id": CHAIN_ID, "nonce": nonce, "to": PAYEE,
            "value": wei(GWEI), "gas": GAS, "max_fee_per_gas": wei(FEE), "max_priority_fee_per_gas": wei(TIP),
        }  # fmt: skip
        return Payment(**(plain | changes))

    def transfer(
        self,
        run: str,
        *,
        nonce: int = 0,
        written: bool = True,
        replacements: tuple[Offer, ...] = (),
        give_up: bool = False,
        **changes: Any,
    ) -> tuple[Decided, Payment]:
        """A payment that is allowed, in the ledger and under a checkpoint."""
        payment = self.payment(run, nonce=nonce, replacements=replacements, give_up=give_up)
        asked = {"to": PAYEE, "amount": f"{GWEI} wei"}
        event = self.decided(run, "wallet.transfer", asked, as_plan(payment), **changes)
        if written:
            self.write(event)
        return event, payment

    def moved(self, tool: str, run: str, *, nonce: int = 0, **changes: Any) -> tuple[Decided, Payment]:
        """A movement of the owner's: funding, or a sweep."""
        signer, to = (OWNER, self.address(run)) if tool == "wallet.fund" else (run, self.address(OWNER))
        payment = self.payment(signer, nonce=nonce, **{"to": to, **changes})
        event = self.decided(run, tool, {"to": payment.to, "amount": None}, as_plan(payment))
        self.write(event)
        return event, payment

    def lent(
        self, tool: str, run: str, *, nonce: int = 0, token: str = COIN, units: int = 7, **plan: Any
    ) -> tuple[Decided, Payment]:
        """A movement of a token between the owner and a run."""
        signer, to = (OWNER, self.address(run)) if tool == "wallet.fund" else (run, self.address(OWNER))
        amount = Amount(units, token_asset(token))
        _, _, content = sent(to, amount)
        fields: dict[str, Any] = {"to": token, "value": wei(0), "data": "0x" + content.hex(), "gas": 60_000}
        payment = self.payment(signer, nonce=nonce, **(fields | plan))
        event = self.decided(run, tool, {"to": to, "amount": amount}, as_plan(payment))
        self.write(event)
        return event, payment

    def approval(self, run: str, *, nonce: int = 0, **plan: Any) -> tuple[Decided, Payment]:
        """A token approval."""
        token, spender = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
        asked = {"token": token, "spender": spender, "standard": "erc20", "method": "approve", "amount": "7"}
        data = "0x" + approval_data(TOOLS["wallet.approve"].parse(asked)).hex()
        payment = self.payment(run, nonce=nonce, **{"to": token, "value": wei(0), "data": data, "gas": 60_000, **plan})
        event = self.decided(run, "wallet.approve", asked, as_plan(payment))
        self.write(event)
        return event, payment

    def call(
        self, run: str, data: bytes, *, to: str = TOKEN, contracts: tuple[Reading, ...] = (), **plan: Any
    ) -> tuple[Decided, Payment]:
        """A call of a contract, as it was judged; not written yet."""
        plain = [msgspec.to_builtins(each) for each in contracts]
        asked = {"to": to, "value": "0 wei", "data": "0x" + data.hex(), "contracts": plain}
        said: dict[str, Any] = {"to": to, "value": wei(0), "data": "0x" + data.hex(), "gas": 200_000, **plan}
        payment = self.payment(run, **said)
        return self.decided(run, "wallet.call", asked, as_plan(payment)), payment

    def typed(self, run: str, chain_id: int = CHAIN_ID) -> tuple[Decided, SignTypedData]:
        """A permit."""
        args = TOOLS["wallet.sign_typed_data"].parse(permit(self.address(run), chain_id))
        event = self.decided(run, "wallet.sign_typed_data", permit(self.address(run), chain_id), {})
        self.write(event)
        return event, args

    def pay_request(self, run: str, *, chain_id: int = CHAIN_ID, **changes: Any) -> tuple[Decided, PayRequest]:
        """A payment that a server asked for; `changes` are of its plan."""
        asked = pay_request(chain_id)
        args = TOOLS["wallet.pay_request"].parse(asked)
        plan = {"payer": self.address(run), "valid_after": 0, "valid_before": int(time.time()) + args.timeout_s}
        plan |= {"nonce": "0x" + "ab" * 32, **changes}
        charges = (Charge("wallet", args.amount),)
        event = self.decided(run, "wallet.pay_request", asked, plan, charges=charges)
        self.write(event)
        return event, args

    def message(self, run: str, content: bytes) -> tuple[Decided, SignMessage]:
        """A message."""
        asked = {"message": "0x" + content.hex()}
        event = self.decided(run, "wallet.sign_message", asked, {})
        self.write(event)
        return event, TOOLS["wallet.sign_message"].parse(asked)

    def settle(self, decided: Decided, status: Any) -> None:
        """How it ended."""
        self.write(
            Settled(
                at_ns=time.time_ns(), decision=decided.decision, action_id=decided.action_id, run=decided.run,
                tool=decided.tool, status=status, charges=(), refunds=(), result={}, detail="",
            )
        )  # fmt: skip


def permit(owner: str, chain_id: int = CHAIN_ID, value: int = 5) -> dict[str, Any]:
    members = ("address owner", "address spender", "uint256 value", "uint256 nonce", "uint256 deadline")
    said = {"owner": owner, "spender": PAYEE, "value": value, "nonce": 0, "deadline": 2**40}
    return {
        "types": {"Permit": [dict(zip(("type", "name"), each.split(), strict=True)) for each in members]},
        "primaryType": "Permit",
        "domain": {"name": "Coin", "chainId": chain_id, "verifyingContract": PAYEE},
        "message": said,
    }


def pay_request(chain_id: int = CHAIN_ID) -> dict[str, Any]:
    return {
        "requirements": {
            "scheme": "exact",
            "network": f"eip155:{chain_id}",
            "maxAmountRequired": "10000",
            "asset": "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48",
            "payTo": PAYEE,
            "resource": "https://api.example.org/premium",
            "maxTimeoutSeconds": 60,
            "extra": {"name": "USD Coin", "version": "2"},
        }
    }


@dataclass
class Gateway:
    """Somebody with the signer's socket, and what he hears."""

    process: Process

    def ask(self, question: wire.Question) -> wire.Answer:
        """One question; what the ledger's file doesn't say yet is asked again for a moment."""
        return wire.read_answer(self.raw(wire.frame(question)))

    def raw(self, content: bytes) -> bytes:
        self.process.connection.settimeout(SECONDS)
        self.process.connection.sendall(content)
        answer = wire.receive(self.process.connection)
        assert answer is not None, "the signer hung up"
        return answer

    def sign(
        self, decided: Decided, what: Payment | SignTypedData | SignMessage | bytes, **changes: Any
    ) -> wire.Answer:
        """Ask for a signature, as the firewall would but for the changes."""
        kind: Any = "transaction"
        match what:
            case Payment():
                content = unsigned_transaction(what.fields())
            case SignTypedData():
                kind, content = "typed_data", what.typed_data.encode()
            case SignMessage():
                kind, content = "message", what.content()
            case _:
                content = what
        signer = OWNER if decided.tool == "wallet.fund" else decided.run
        asked: dict[str, Any] = {"decision": decided.decision, "signer": signer, "kind": kind, "content": content}
        return self.ask(wire.Sign(**(asked | changes)))

    def refused(self, decided: Decided, what: Any, **changes: Any) -> str:
        """Why it is not signed."""
        answer = self.sign(decided, what, **changes)
        assert isinstance(answer, wire.No), "it was signed"
        return answer.why

    def signed(self, decided: Decided, what: Any, **changes: Any) -> bytes:
        """The signature."""
        answer = self.sign(decided, what, **changes)
        assert isinstance(answer, wire.Signed), answer
        return answer.signature

    def close(self) -> None:
        self.process.connection.close()
        self.process.process.wait(SECONDS)


@contextmanager
def signer_over(folder: Path) -> Generator[tuple[Book, Gateway]]:
    """A ledger and a signer's process that reads it."""
    book = Book(folder)
    gateway = Gateway(begin(folder, book.ledger))
    try:
        yield book, gateway
    finally:
        gateway.close()
        book.close()
