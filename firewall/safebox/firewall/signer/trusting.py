"""A signer that believes whoever asks: for drills on a chain in memory and for tests. Real keys have a process."""

from __future__ import annotations

from typing import Any

import msgspec

from safebox.firewall.accounts import SignedTransaction
from safebox.firewall.core.digests import message_digest, typed_data_digest
from safebox.firewall.core.signing import TypedData
from safebox.firewall.errors import EffectError
from safebox.firewall.keystore import OWNER, Keystore


class TrustingSigner:
    """A `SignerPort` over keys in this process, which asks no ledger."""

    def __init__(self, keystore: Keystore) -> None:
        self._keystore = keystore

    @property
    def owner_address(self) -> str:
        """The owner's address."""
        return self._keystore.owner_address

    async def address_of(self, signer: str) -> str:
        """The address of the owner or a run."""
        return self._keystore.owner_address if signer == OWNER else self._keystore.create_for_run(signer)

    async def sign_transaction(self, signer: str, fields: dict[str, Any], decision: str) -> SignedTransaction:
        """Sign a transaction. Raises `EffectError` if it is none."""
        await self.address_of(signer)
        try:
            return self._keystore.sign_transaction(signer, fields)
        except ValueError as error:
            raise EffectError(f"the transaction can't be signed: {error}") from error

    async def signed_before(self, signer: str, fields: dict[str, Any], decision: str) -> SignedTransaction | None:
        """The same: it doesn't remember, so all may have been signed. Raises `EffectError` if it is no transaction."""
        return await self.sign_transaction(signer, fields, decision)

    async def sign_typed_data(self, signer: str, typed_data: str, decision: str) -> bytes:
        """Sign typed data in normal form."""
        await self.address_of(signer)
        return self._keystore.sign_digest(signer, typed_data_digest(msgspec.json.decode(typed_data, type=TypedData)))

    async def sign_message(self, signer: str, content: bytes, decision: str) -> bytes:
        """Sign a message (EIP-191)."""
        await self.address_of(signer)
        return self._keystore.sign_digest(signer, message_digest(content))

    async def healthy(self) -> bool:
        """Always."""
        return True

    async def close(self) -> None:
        """Nothing is open."""
