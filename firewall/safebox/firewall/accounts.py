"""Accounts that sign EIP-1559 transactions and digests, with no more loaded than that takes.

libsecp256k1 (coincurve) signs and recovers, `core/rlp.py` encodes. eth-account does the same and loads the curves of
the consensus layer with it, which took half of a firewall's start; `tests/unit/connectors/test_accounts.py` holds every
byte made here against what it makes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from coincurve import PrivateKey, PublicKey

from safebox.firewall.core.addresses import ADDRESS_BYTES, checksummed, keccak256
from safebox.firewall.core.rlp import read_rlp, write_rlp
from safebox.firewall.signer.hardening import wipe

TYPE: Final = 2
"""EIP-1559."""
_FIELDS: Final = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value", "data")
"""In the order in which EIP-1559 signs them; an access list follows, which is always empty here."""
_UNSIGNED: Final = len(_FIELDS) + 1
_SIGNED: Final = _UNSIGNED + 3
"""With the access list and the three parts of the signature."""
_WORD: Final = 32
CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1 (SEC 2): a private key is below it and not 0, and so are r and s of a signature."""
SIGNATURE_BYTES: Final = 65
"""r, s and v, as wallets give a signature."""
_V: Final = 27
"""Added to the parity in signatures of messages (yellow paper, appendix F)."""


class SignedTransaction(NamedTuple):
    """A transaction as it is sent, and the hash it is known by."""

    raw_transaction: bytes
    hash: bytes


class LocalAccount:
    """One private key in this process: a `ports.KeyHolder`.

    Args:
        key: 32 bytes.

    Raises:
        ValueError: if it is no private key of secp256k1.
    """

    repeats = True

    def __init__(self, key: bytes) -> None:
        self._key = PrivateKey(key)
        self.address = _address(self._key.public_key)

    def sign_transaction(self, fields: dict[str, Any]) -> SignedTransaction:
        """Sign a whole EIP-1559 transaction; the same fields give the same bytes (RFC 6979).

        Raises:
            ValueError: if a field is not of its type or out of its bounds.
        """
        return self.sign_payload(unsigned_transaction(fields))

    def sign_payload(self, payload: bytes) -> SignedTransaction:
        """Sign an unsigned EIP-1559 transaction as it is written.

        Raises:
            ValueError: if it is no such transaction in its one encoding.
        """
        return signed_transaction(payload, self.sign_digest)

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign 32 bytes: r, s and v (27 or 28), the form wallets give for messages and typed data."""
        made = self._key.sign_recoverable(digest, hasher=None)  # pyright: ignore[reportUnknownMemberType]
        return made[:-1] + bytes([_V + made[-1]])

    def forget(self) -> None:
        """Overwrite the key; nothing can be signed with this any more."""
        wipe(self._key.secret)


def unsigned_transaction(fields: dict[str, Any]) -> bytes:
    """The bytes of an EIP-1559 transaction whose hash is signed.

    Raises:
        ValueError: if a field is not of its type or out of its bounds.
    """
    return bytes([TYPE]) + write_rlp(_encodable(fields))


def signed_transaction(payload: bytes, sign: Callable[[bytes], bytes]) -> SignedTransaction:
    """An unsigned EIP-1559 transaction as it is written, with the signature that `sign` gives for its hash.

    Raises:
        ValueError: if it is no such transaction in its one encoding; nothing is signed then.
    """
    unsigned = _parts(payload, _UNSIGNED)
    signature = sign(keccak256(payload))
    r, s = (int.from_bytes(part) for part in (signature[:_WORD], signature[_WORD:-1]))
    raw = bytes([TYPE]) + write_rlp((*unsigned, *map(_integer, (signature[-1] - _V, r, s))))
    return SignedTransaction(raw, keccak256(raw))


def decode_transaction(raw: bytes) -> dict[str, Any]:
    """The fields of signed EIP-1559 bytes, without the signature; `to` in lower case, empty for a creation.

    Raises:
        ValueError: if they are no such transaction in its one encoding.
    """
    return _fields(_parts(raw, _SIGNED))


def decode_unsigned(payload: bytes) -> dict[str, Any]:
    """The fields of an unsigned EIP-1559 transaction, as `decode_transaction` gives them.

    Raises:
        ValueError: if it is no such transaction in its one encoding.
    """
    return _fields(_parts(payload, _UNSIGNED))


def _fields(parts: Sequence[Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {"type": TYPE, "accessList": tuple(parts[len(_FIELDS)])}
    for name, part in zip(_FIELDS, parts, strict=False):
        if name == "data":
            fields[name] = part
        elif name == "to":
            fields[name] = f"0x{part.hex()}" if part else ""
        else:
            fields[name] = int.from_bytes(part)
    return fields


def signer_of(raw: bytes) -> str:
    """The checksummed address whose key signed a transaction.

    Raises:
        ValueError: if that can't be said.
    """
    *unsigned, parity, r, s = _parts(raw, _SIGNED)
    signature = r.rjust(_WORD, b"\0") + s.rjust(_WORD, b"\0") + (parity or b"\0")
    return signer_of_digest(signature=signature, digest=keccak256(bytes([TYPE]) + write_rlp(tuple(unsigned))))


def signer_of_digest(digest: bytes, signature: bytes) -> str:
    """The checksummed address whose key made a signature: r, s and parity, in 65 bytes.

    Raises:
        ValueError: if no key can have made it.
    """
    return _address(PublicKey.from_signature_and_message(signature, digest, hasher=None))


def _encodable(fields: dict[str, Any]) -> tuple[Any, ...]:
    to, data = fields["to"], fields["data"]
    numbers = [fields[name] for name in _FIELDS if name not in ("to", "data")]
    if any(type(number) is not int or not 0 <= number < 2**256 for number in numbers):
        raise ValueError("a field of the transaction is no unsigned integer of 256 bits")
    target = bytes.fromhex(to.removeprefix("0x"))
    if len(target) != ADDRESS_BYTES or type(data) is not bytes:
        raise ValueError("the transaction has no payee, or its data are no bytes")
    known = {"to": target, "data": data}
    return (*(known[name] if name in known else _integer(fields[name]) for name in _FIELDS), ())


def _integer(number: int) -> bytes:
    """Big-endian without leading zeros, as RLP writes a number."""
    return number.to_bytes((number.bit_length() + 7) // 8)


def _parts(raw: bytes, count: int) -> list[Any]:
    try:
        found = read_rlp(raw[1:]) if raw[:1] == bytes([TYPE]) else b""
    except ValueError as error:
        raise ValueError(f"the bytes are no transaction: {error}") from error
    parts: list[Any] = [] if isinstance(found, bytes) else list(found)
    lists = [isinstance(part, tuple) for part in parts]
    numbers = [part for index, part in enumerate(parts) if not lists[index] and _is_number(index)]
    if len(parts) != count or lists != [index == len(_FIELDS) for index in range(count)]:
        raise ValueError("the bytes are no EIP-1559 transaction")
    if any(len(part) > _WORD or part[:1] == b"\0" for part in numbers):
        raise ValueError("the transaction has a number in more than one way")
    if len(parts[_FIELDS.index("to")]) not in (0, ADDRESS_BYTES):
        raise ValueError("the transaction's payee is no address")
    return parts


def _is_number(index: int) -> bool:
    return index >= len(_FIELDS) or _FIELDS[index] not in ("to", "data")


def address_of_point(point: bytes) -> str:
    """The checksummed address of a public key: 65 bytes, uncompressed (SEC 1)."""
    return checksummed(keccak256(point[1:])[-ADDRESS_BYTES:])


def _address(key: PublicKey) -> str:
    return address_of_point(key.format(compressed=False))
