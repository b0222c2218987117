"""A signer in this process over a ledger with one allow of each kind, and a reader that is not the signer's own.

The other reader is made of other people's libraries: RLP by the one of that name, JSON by Python's, hashes and keys by
eth_account.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import rlp  # type: ignore[import-untyped]
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data

from safebox.firewall.accounts import unsigned_transaction
from safebox.firewall.connectors.transaction import Offer, Payment
from safebox.firewall.core.leaves import Reading
from safebox.firewall.core.record import Decided
from safebox.firewall.keyfile import FOLDER, OWNER_NAME, keep_key
from safebox.firewall.signer import wire
from safebox.firewall.signer.allow import signer_for
from safebox.firewall.signer.server import Signer
from safebox.firewall.signer.watermark import Watermark
from safebox.firewall.store.notary import VERIFIER_NAME
from tests.calls import BATCHER, PAYEE, SHOP, TOKEN, call, transfer
from tests.signers import FEE, TIP, Book, wei

KEY: Final = b"\x51" * 32
"""Always the same, so that requests that are kept in files fit."""
RLP: Final[Any] = rlp
PLACES: Final = ("chain_id", "nonce", "tip", "fee", "gas", "to", "value", "data", "access")
NUMBERS: Final = PLACES[:5]
BATCH: Final = "executeBatch((address,uint256,bytes)[])"
LISTED: Final = "buy(uint256,address,bytes32[])"
READINGS: Final = (Reading(SHOP, functions=(LISTED,)), Reading(TOKEN, "erc20"))
CALLS: Final = {
    "token": (TOKEN, transfer(5)),
    "shop": (SHOP, call(LISTED, 7, PAYEE, [b"\x01" * 32])),
    "batch": (BATCHER, call(BATCH, [(TOKEN, 0, transfer(5)), (SHOP, 0, call(LISTED, 1, PAYEE, []))])),
}
DEARER: Final = Offer(max_fee_per_gas=wei(3 * FEE), max_priority_fee_per_gas=wei(3 * TIP))
SCRYPT_N: Final = 2**4


class Case(NamedTuple):
    """An allow, and the bytes it is for; `plan` where they are a transaction."""

    name: str
    decided: Decided
    kind: wire.Kind
    content: bytes
    plan: Payment | None = None


class Desk:
    """The ledger and the signer. `close` it."""

    def __init__(self, folder: Path) -> None:
        keep_key(folder / FOLDER / OWNER_NAME, folder / "passphrase", KEY, scrypt_n=SCRYPT_N)
        self.book = book = Book(folder)
        watermark = Watermark.open(folder / "signer")
        self.signer = Signer(book.keystore, book.ledger, folder / FOLDER / VERIFIER_NAME, watermark)
        typed, data = book.typed(book.run())
        said, message = book.message(book.run(), b"I agree to the terms of 2026.")
        transactions = {
            "transfer": book.transfer(book.run(), replacements=(DEARER,)),
            "approve": book.approval(book.run()),
            "fund": book.moved("wallet.fund", book.run()),
            "sweep": book.moved("wallet.sweep", book.run()),
        }
        for name, (to, calldata) in CALLS.items():
            transactions[name] = decided, _ = book.call(book.run(), calldata, to=to, contracts=READINGS)
            book.write(decided)
        self.cases: list[Case] = [
            *(_planned(name, decided, plan) for name, (decided, plan) in transactions.items()),
            Case("typed_data", typed, "typed_data", data.typed_data.encode()),
            Case("message", said, "message", message.content()),
        ]
        self.named = {each.name: each for each in self.cases}
        for case in self.cases:  # first: what the plan names in its place takes the nonce from then on
            assert self.check(case, case.content), "what was decided is signed"

    def close(self) -> None:
        """Let go."""
        self.book.close()

    def ask(self, case: Case, content: bytes, kind: wire.Kind | None = None) -> wire.Answer:
        """Ask for a signature of these bytes, for a case's decision."""
        decided = case.decided
        asked = wire.Sign(
            decision=decided.decision, signer=signer_for(decided), kind=kind or case.kind, content=content
        )
        return self.signer.answer(asked)

    def check(self, case: Case, content: bytes, kind: wire.Kind | None = None) -> bool:
        """Ask, and read what was signed, if it was; whether it was.

        Raises:
            AssertionError: if another reader reads in it anything but what was decided, or finds another key.
        """
        answer = self.ask(case, content, kind)
        if not isinstance(answer, wire.Signed):
            assert isinstance(answer, wire.No)
            assert not answer.later
            assert (content, kind or case.kind) != (case.content, case.kind), answer
            return False
        assert (kind or case.kind) == case.kind, "one kind of thing was signed as another"
        assert reads_as_decided(case, content), "what was signed is not what was decided"
        self._check_signature(case, content, answer.signature)
        return True

    def _check_signature(self, case: Case, content: bytes, signature: bytes) -> None:
        """Raises AssertionError unless other libraries find the key's address in it."""
        if case.plan is not None:
            assert RLP.decode(signature[1:])[: len(PLACES)] == RLP.decode(content[1:]), "other fields were signed"
            assert Account.recover_transaction(signature) == case.plan.sender
            return
        typed = case.kind == "typed_data"
        signable = encode_typed_data(full_message=_whole(content)) if typed else encode_defunct(content)
        found = Account.recover_message(signable, signature=signature)
        assert found == self.book.address(case.decided.run)


def _planned(name: str, decided: Decided, plan: Payment) -> Case:
    return Case(name, decided, "transaction", unsigned_transaction(plan.fields()), plan)


def _whole(content: bytes) -> dict[str, Any]:
    """Typed data with the domain's type, which eth_account wants."""
    data: dict[str, Any] = json.loads(content)
    kinds = {"name": "string", "version": "string", "chainId": "uint256", "verifyingContract": "address"}
    data["types"].setdefault(
        "EIP712Domain", [{"name": each, "type": kind} for each, kind in kinds.items() if each in data["domain"]]
    )
    data["domain"]["chainId"] = int(data["domain"]["chainId"])
    return data


def reads_as_decided(case: Case, asked: bytes) -> bool:
    """Whether another reader finds in the bytes what was decided, or what was decided in its place."""
    if case.plan is None:
        return asked == case.content if case.kind == "message" else bool(json.loads(asked) == json.loads(case.content))
    plan, found = case.plan, dict(zip(PLACES, RLP.decode(asked[1:]), strict=True))
    number = {name: int.from_bytes(found[name]) for name in NUMBERS}
    offers = (Offer(max_fee_per_gas=plan.max_fee_per_gas, max_priority_fee_per_gas=plan.max_priority_fee_per_gas),)
    fees = {(each.max_fee_per_gas.units, each.max_priority_fee_per_gas.units) for each in offers + plan.replacements}
    named = (number["chain_id"], number["nonce"], found["access"]) == (plan.chain_id, plan.nonce, [])
    planned = (plan.to.lower(), plan.value.units, plan.data, plan.gas)
    said = ("0x" + found["to"].hex(), int.from_bytes(found["value"]), "0x" + found["data"].hex(), number["gas"])
    return named and (number["fee"], number["tip"]) in fees and said == planned


def dearer(case: Case) -> bytes:
    """What the case's plan names in its place."""
    assert case.plan is not None
    return unsigned_transaction(case.plan.variants()[1].fields())


def with_value(content: bytes, value: int) -> bytes:
    """The same transaction with another value."""
    parts = RLP.decode(content[1:])
    parts[PLACES.index("value")] = value.to_bytes((value.bit_length() + 7) // 8)
    return content[:1] + bytes(RLP.encode(parts))


def changed(plan: Payment, **changes: Any) -> bytes:
    """A plan with other fields, in bytes."""
    return unsigned_transaction(msgspec.structs.replace(plan, **changes).fields())
