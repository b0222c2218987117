"""A transaction as the plan that is decided and recorded, and the check that what was signed is just that."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from safebox.firewall.accounts import TYPE, SignedTransaction, decode_transaction, signer_of
from safebox.firewall.core.money import Amount, decode_amount, encode_amount
from safebox.firewall.errors import CallerError, EffectError
from safebox.firewall.ports import SignerPort

TRANSFER_GAS: Final = 21_000
"""What a transfer to an address without code takes (yellow paper, G_transaction)."""


class Offer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a replacement pays for each unit of gas."""

    max_fee_per_gas: Amount
    max_priority_fee_per_gas: Amount


class Payment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """All of a transaction; amounts in wei. `signer` is a run's id or the owner, `data` hexadecimal.

    `replacements` are what may be offered in its place, in this order, if it isn't mined: part of what is decided, so
    that nothing but what was decided is ever signed. With `give_up` they send nothing, to the sender itself. `cancels`
    is such a replacement.
    """

    signer: str
    sender: str
    chain_id: int
    nonce: int
    to: str
    value: Amount
    gas: int
    max_fee_per_gas: Amount
    max_priority_fee_per_gas: Amount
    data: str = "0x"
    replacements: tuple[Offer, ...] = ()
    give_up: bool = False
    cancels: bool = False

    @property
    def worst(self) -> Amount:
        """The most it can take from the sender, whichever of the variants is mined: value and gas at the highest fee.

        Raises:
            ValueError: That is more than 2**256 - 1.
        """
        return Amount(max(each.value.units + each.gas * each.max_fee_per_gas.units for each in self.variants()), "ETH")

    def variants(self) -> tuple[Payment, ...]:
        """The payment and what may replace it, all under one nonce: at most one of them is ever mined."""
        return (self, *(self._offering(offer) for offer in self.replacements))

    def _offering(self, offer: Offer) -> Payment:
        fees = {"max_fee_per_gas": offer.max_fee_per_gas, "max_priority_fee_per_gas": offer.max_priority_fee_per_gas}
        variant = msgspec.structs.replace(self, **fees, replacements=())
        if not self.give_up:
            return variant
        nothing = Amount(0, "ETH")
        return msgspec.structs.replace(
            variant, to=self.sender, value=nothing, data="0x", gas=TRANSFER_GAS, cancels=True
        )

    def fields(self) -> dict[str, Any]:
        """The transaction's fields, as they are signed."""
        return {
            "type": TYPE,
            "chainId": self.chain_id,
            "nonce": self.nonce,
            "to": self.to,
            "value": self.value.units,
            "data": bytes.fromhex(self.data.removeprefix("0x")),
            "gas": self.gas,
            "maxFeePerGas": self.max_fee_per_gas.units,
            "maxPriorityFeePerGas": self.max_priority_fee_per_gas.units,
        }

    def written(self) -> dict[str, Any]:
        """The same as they are read back from the bytes, signed or not (`accounts.decode_transaction`)."""
        return self.fields() | {"to": self.to.lower(), "accessList": ()}


def worst_of(payment: Payment) -> Amount:
    """The most a payment can take.

    Raises:
        CallerError: That is more than there can be.
    """
    try:
        return payment.worst
    except ValueError as error:
        raise CallerError("the amount and its fee are more than there can be") from error


def as_plan(payment: Payment) -> dict[str, Any]:
    """The payment as plain JSON."""
    plan: dict[str, Any] = msgspec.to_builtins(payment, enc_hook=encode_amount)
    return plan


def from_plan(plan: dict[str, Any]) -> Payment:
    """Read a recorded plan.

    Raises:
        EffectError: It is no payment; nothing was done.
    """
    try:
        return msgspec.convert(plan, Payment, dec_hook=decode_amount)
    except msgspec.ValidationError as error:
        raise EffectError(f"the recorded plan is no payment: {error}") from error


async def sign(payment: Payment, signer: SignerPort, decision: str) -> SignedTransaction:
    """Have a payment signed and compare what was signed with it, field by field.

    Raises:
        EffectError: It is not signed, the signed bytes say something else, or another key signed; nothing was sent.
    """
    return _same(payment, await signer.sign_transaction(payment.signer, payment.fields(), decision))


async def signed_before(payment: Payment, signer: SignerPort, decision: str) -> SignedTransaction | None:
    """A payment as it was signed; None if it certainly never was.

    Raises:
        EffectError: That can't be said, or it is another one.
    """
    found = await signer.signed_before(payment.signer, payment.fields(), decision)
    return None if found is None else _same(payment, found)


def _same(payment: Payment, signed: SignedTransaction) -> SignedTransaction:
    try:
        found, by = decode_transaction(signed.raw_transaction), signer_of(signed.raw_transaction)
    except ValueError as error:
        raise EffectError("what was signed can't be read") from error
    if found != payment.written():
        raise EffectError("the signed transaction is not the one that was decided")
    if by != payment.sender:
        raise EffectError("the transaction was signed by another key than the wallet's")
    return signed
