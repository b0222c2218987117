"""A key service in a process of its own: it holds a key, signs digests as AWS KMS does, and lies where it is told to.

Run as `python -m tests.key_service SOCKET SECRET [TOKEN]`: it listens on the Unix socket and on a port of loopback,
which it prints, and ends with its standard input. `KeyId` names a key; `lies/HOW` is the same key and an untrue answer.
"""

from __future__ import annotations

import base64
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256K1,
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from safebox.firewall.accounts import CURVE_ORDER, LocalAccount
from safebox.firewall.signer.holders import FILE_NAME, Service
from tests.failing import WAYS, Failing, Patient
from tests.real_parts import ROOT

SECRET: Final = 0x51
OTHER: Final = 0x52
SLOW_SECONDS: Final = 30.0
_HIGH: Final = CURVE_ORDER // 2


def sign(key: EllipticCurvePrivateKey, digest: bytes) -> bytes:
    """DER, another one each time, and as often in the upper half as in the lower."""
    return key.sign(digest, ECDSA(Prehashed(SHA256())))


def _halved(der: bytes, *, high: bool) -> bytes:
    r, s = decode_dss_signature(der)
    return encode_dss_signature(r, s if (s > _HIGH) is high else CURVE_ORDER - s)


def _key(secret: int) -> EllipticCurvePrivateKey:
    return derive_private_key(secret, SECP256K1())


LIES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "another key": lambda digest: sign(_key(OTHER), digest),
    "another digest": lambda digest: sign(_key(SECRET), digest[::-1]),
    "another curve": lambda digest: sign(derive_private_key(SECRET, SECP256R1()), digest),
    "nothing": lambda _: b"",
    "noise": lambda digest: digest * 2,
    "raw": lambda digest: b"".join(n.to_bytes(32) for n in decode_dss_signature(sign(_key(SECRET), digest))),
    "zero": lambda digest: encode_dss_signature(0, decode_dss_signature(sign(_key(SECRET), digest))[1]),
    "too large": lambda digest: encode_dss_signature(CURVE_ORDER + 1, 1),
    "more behind it": lambda digest: sign(_key(SECRET), digest) + b"\0",
    "cut off": lambda digest: sign(_key(SECRET), digest)[:-1],
}
"""Answers of the right shape without the signature that was asked for."""
TRUE: Final[dict[str, Callable[[bytes], bytes]]] = {
    "high": lambda digest: _halved(sign(_key(SECRET), digest), high=True),
    "low": lambda digest: _halved(sign(_key(SECRET), digest), high=False),
}
WRONG: Final = {
    "no json": b"<html>",
    "deep": b"[" * 60_000,
    "no field": b"{}",
    "other way": b'{"Signature": "AAAA", "SigningAlgorithm": "RSASSA_PSS_SHA_256"}',
}
BROKEN: Final = (*WAYS, *WRONG)
"""Answers of no shape, or none in time."""


class _Answers(Failing):
    """One request."""

    slow_seconds, wrong, trouble = SLOW_SECONDS, WRONG, {"__type": "two words <b>", "message": "x"}
    token = ""
    secret = SECRET

    def asked(self, document: dict[str, Any]) -> None:
        """Answer, fail or lie."""
        what = self.headers["X-Amz-Target"].removeprefix("TrentService.")
        how = document["KeyId"].partition("lies/")[2]
        if self.token and self.headers["Authorization"] != f"Bearer {self.token}":
            self.say(400, {"__type": "com.amazonaws.kms#AccessDeniedException", "message": "secret words"})
        elif how in BROKEN:
            self.fail(how)
        elif what == "Sign":
            self.say(
                200, {"KeyId": "arn:x", "Signature": self._signed(how, document), "SigningAlgorithm": _way(document)}
            )
        else:
            self.say(200, {"KeyId": "arn:x", "PublicKey": _text(self._public())})

    def _signed(self, how: str, asked: dict[str, Any]) -> str:
        assert asked["MessageType"] == "DIGEST"
        digest = base64.b64decode(asked["Message"])
        answer = LIES.get(how) or TRUE.get(how)
        return _text(answer(digest) if answer is not None else sign(_key(self.secret), digest))

    def _public(self) -> bytes:
        return _key(self.secret).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _way(asked: dict[str, Any]) -> str:
    return str(asked["SigningAlgorithm"])


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


class _Unix(ThreadingUnixStreamServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up early is no news."""


def main(path: str, secret: str, token: str = "") -> None:
    """Answer until the standard input ends."""
    _Answers.secret, _Answers.token = int(secret), token
    unix, port = _Unix(path, _Answers), Patient(("127.0.0.1", 0), _Answers)
    for server in (unix, port):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(port.server_address[1], flush=True)
    sys.stdin.read()


@dataclass(frozen=True)
class KeyServer:
    """The process, from outside."""

    process: subprocess.Popen[str]
    path: Path
    port: int
    secret: int = SECRET

    @property
    def address(self) -> str:
        """The address of its key."""
        return str(LocalAccount(self.secret.to_bytes(32)).address)

    @property
    def url(self) -> str:
        """Its Unix socket."""
        return f"unix:{self.path}"

    def service(self, key: str = "alias/treasury", **changes: Any) -> Service:
        """How it is asked."""
        said: dict[str, Any] = {"url": self.url, "key": key, "address": self.address, **changes}
        return Service(**said)

    def configure(self, state: Path, **changes: str) -> None:
        """Write `signer.toml` into a state folder."""
        said = {"service": self.url, "key": "alias/treasury", "address": self.address, **changes}
        lines = "".join(f'{name} = "{value}"\n' for name, value in said.items())
        state.joinpath(FILE_NAME).write_text(f"[owner]\n{lines}")
        state.joinpath(FILE_NAME).chmod(0o600)

    def stop(self) -> None:
        """End it, if it is there."""
        with suppress(ValueError, BrokenPipeError):
            self.process.communicate("")
        self.path.unlink(missing_ok=True)


def begin(path: Path, secret: int = SECRET, token: str = "") -> KeyServer:
    """Start one on a Unix socket of this path."""
    command = [sys.executable, "-m", "tests.key_service", str(path), str(secret), token]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return KeyServer(process, path, int(process.stdout.readline()), secret)


@contextmanager
def key_server(path: Path, secret: int = SECRET, token: str = "") -> Generator[KeyServer]:
    """One that is ended afterwards."""
    server = begin(path, secret, token)
    try:
        yield server
    finally:
        server.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
