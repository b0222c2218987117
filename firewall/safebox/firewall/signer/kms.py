"""A key in a service that never gives it away, asked as AWS KMS is: `Sign` and `GetPublicKey` over JSON.

Rule 1: a signature is one only if the pinned address can have made it for this very digest; all else is a no.
Rule 2: the service decides nothing, and what it says is not repeated but for its own word for an error.
Rule 3: it is waited for less long than the firewall waits for the signer.

Credentials of a cloud are not this process's: whatever stands on the socket adds them, or takes a bearer token.
https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html
"""

from __future__ import annotations

import contextlib
import logging
import re
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from safebox.firewall.accounts import CURVE_ORDER, address_of_point, signer_of_digest
from safebox.firewall.errors import ConfigError, EffectError
from safebox.firewall.exchange import ask, endpoint
from safebox.firewall.signer.holders import FILE_NAME, Service, read_token

_LOG = logging.getLogger(__name__)

SIGN_SECONDS: Final = 4.0
"""Below `client.ANSWER_SECONDS`: a signer that is waited for in vain would be ended with what it knows."""
START_SECONDS: Final = 1.0
"""A firewall is ready within two, and what a service says at the start it has to prove with each signature anyway."""
_ALGORITHM: Final = "ECDSA_SHA_256"
"""The service's name for ECDSA over a digest of 32 bytes; whose hash it is doesn't matter to it."""
_TYPE: Final = "application/x-amz-json-1.1"
_WORD: Final = 32
_V: Final = 27
_ERROR: Final = re.compile(r"(?:[\w.]{1,60}#)?(\w{1,60})", re.ASCII)
_UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)


class _Signature(msgspec.Struct, rename="pascal"):
    signature: bytes
    signing_algorithm: str


class _PublicKey(msgspec.Struct, rename="pascal"):
    public_key: bytes


class _Fault(msgspec.Struct):
    type: str = msgspec.field(name="__type", default="")


_Answer = TypeVar("_Answer", _Signature, _PublicKey)


class KeyService:
    """A `ports.KeyHolder` over a service.

    Args:
        service: where it is, and whose key it should have.
    """

    repeats = False

    def __init__(self, service: Service) -> None:
        self._service = service
        self._endpoint = endpoint(service.url)
        self.address = service.address

    def check(self) -> None:
        """See that the service has the key of the pinned address. One that is away now is asked when it is needed.

        Raises:
            ConfigError: if it has another one.
        """
        try:
            found = address_of_point(self._public_key())
        except EffectError as error:
            _LOG.warning("the owner's key can't be looked at: %s; runs can't be funded meanwhile", error.cause)
            return
        if found != self.address:
            raise ConfigError(
                f"the key {self._service.key!r} at {self._service.url} is of {found}, not of {self.address}",
                remedy=f"if that is the owner's key, say so in {FILE_NAME}; else find out who changed it",
            )

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign 32 bytes: r, s in the lower half and v.

        Raises:
            EffectError: if there is no signature of the pinned address in time; nobody has one then but the service.
        """
        asked = {"Message": digest, "MessageType": "DIGEST", "SigningAlgorithm": _ALGORITHM}
        found = self._ask("Sign", asked, _Signature, SIGN_SECONDS)
        if found.signing_algorithm != _ALGORITHM:
            raise _no("it signed in another way")
        return self._own(digest, found.signature)

    def forget(self) -> None:
        """Nothing of the key is here."""

    def _own(self, digest: bytes, der: bytes) -> bytes:
        """The signature as Ethereum writes it, if it is ours."""
        try:
            r, s = decode_dss_signature(der)
        except ValueError as error:
            raise _no("its answer is no signature") from error
        if not (0 < r < CURVE_ORDER and 0 < s < CURVE_ORDER):
            raise _no("its answer is no signature")
        both = r.to_bytes(_WORD) + min(s, CURVE_ORDER - s).to_bytes(_WORD)
        for parity in range(2):
            with contextlib.suppress(ValueError):  # no key makes this one
                if signer_of_digest(digest, both + bytes([parity])) == self.address:
                    return both + bytes([_V + parity])
        raise _no("its signature is of another key, or of something else")

    def _public_key(self) -> bytes:
        found = self._ask("GetPublicKey", {}, _PublicKey, START_SECONDS)
        try:
            key = load_der_public_key(found.public_key)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise _no("its answer is no public key") from error
        if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256K1):
            raise _no("its key is none of secp256k1")
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def _ask(self, what: str, fields: dict[str, Any], shape: type[_Answer], seconds: float) -> _Answer:
        body = msgspec.json.encode({"KeyId": self._service.key, **fields})
        headers = {"Content-Type": _TYPE, "X-Amz-Target": f"TrentService.{what}"}
        try:
            token = read_token(self._service.token)
            headers |= {"Authorization": f"Bearer {token}"} if token else {}
            status, content = ask(self._endpoint, headers, body, seconds=seconds)
        except (EffectError, ConfigError) as error:
            raise _no(error.cause) from error
        if status != HTTPStatus.OK:
            raise _no(f"it answered {status}{_said(content)}")
        try:
            return msgspec.json.decode(content, type=shape)
        except _UNREADABLE as error:
            raise _no("its answer is none") from error


def _no(why: str) -> EffectError:
    return EffectError(f"the key service was asked in vain: {why}")


def _said(content: bytes) -> str:
    """The service's own word for an error, if it is one word."""
    try:
        found = _ERROR.fullmatch(msgspec.json.decode(content, type=_Fault).type)
    except _UNREADABLE:
        return ""
    return f" ({found[1]})" if found is not None else ""
