"""A bundle as one file that people sign: what judges, its version, and who says yes to exactly that.

The file is a bundle as OPA reads it: a gzipped tar of `.manifest`, `data.json` and the modules (`archive` says how it
is written). The signatures are inside, in a file OPA passes over, so a bundle can't be parted from them. What is signed
is everything but them, so that people can sign in any order.

Two digests: `bundle.digest` names the content that decides, as everywhere; `content` names all that is signed, also the
manifest with the relaxations people agree to. A signature is Ed25519 over a line that names its purpose and the
canonical JSON of a `Release`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from typing import Annotated, Any, Final, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from safebox.firewall.core.action import canonical
from safebox.firewall.core.approval import Signer
from safebox.firewall.core.checkpoint import Verifier
from safebox.firewall.core.holds import GROUP
from safebox.firewall.engines.archive import ArchiveError, pack, unpack, unwrap, wrap
from safebox.firewall.engines.bundle import DATA_NAME, TEST_SUFFIX, Bundle, Layer, Module, parse_data, seal
from safebox.firewall.errors import ConfigError, PolicyUnavailable

DOMAIN: Final = b"safebox policy bundle 1\n"
"""What is signed here starts with this line, and nothing else that a key of safebox signs does."""
MANIFEST: Final = ".manifest"
SIGNATURES: Final = ".safebox-signers.json"
VERSION_MAX: Final = 2**53
SIGNATURES_MAX: Final = 64
"""More people than would ever have to agree; bounds the work of verifying."""
REFUSED: Final = "policy.bundle_refused"
_PACKAGE: Final = re.compile(r"^\s*package\s+([A-Za-z_][A-Za-z0-9_]*)", re.M)
_REMEDY: Final = "build it again with safebox policy bundle build, and have it signed again"


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody signs: this content, under this version."""

    format: Literal[1] = 1
    version: int
    digest: str
    content: str

    def signed_bytes(self) -> bytes:
        """Exactly what is signed."""
        return DOMAIN + canonical(self)


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person's yes: the name, the public key (a C2SP verifier key), and the signature as base64."""

    name: Annotated[str, msgspec.Meta(pattern=GROUP)]
    key: Annotated[str, msgspec.Meta(max_length=200)]
    signature: Annotated[str, msgspec.Meta(max_length=100)]


class _About(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal[1]
    version: Annotated[int, msgspec.Meta(ge=1, le=VERSION_MAX)]
    digest: str
    relaxed: list[dict[str, str]]
    """One for each layer, the base first."""


class _Metadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    safebox: _About


class _Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The manifest as OPA has it (https://www.openpolicyagent.org/docs/management-bundles)."""

    revision: str
    roots: list[str]
    rego_version: Literal[1]
    metadata: _Metadata


class SignedBundle(msgspec.Struct, frozen=True):
    """A bundle with a version, the digest of all that is signed, and the signatures, which nobody has checked yet."""

    bundle: Bundle
    version: int
    content: str
    signatures: tuple[Signature, ...] = ()

    @property
    def release(self) -> Release:
        """What is signed."""
        return Release(version=self.version, digest=self.bundle.digest, content=self.content)

    def encode(self) -> bytes:
        """The file.

        Raises:
            ConfigError: if it would be too large.
        """
        files = _files(self.bundle, self.version)
        if self.signatures:
            files.append((SIGNATURES, msgspec.json.encode(list(self.signatures))))
        try:
            return wrap(pack(files))
        except ArchiveError as error:
            raise ConfigError(f"no bundle can be made: {error}", code=REFUSED) from error

    def signed_by(self, signer: Signer) -> SignedBundle:
        """The same with this signature, too; an earlier one of the same name is replaced."""
        mine = Signature(name=signer.name, key=signer.verifier.text(), signature=signer.sign(self.release))
        others = [each for each in self.signatures if each.name != signer.name]
        signatures = tuple(sorted([*others, mine], key=lambda each: each.name))
        return SignedBundle(self.bundle, self.version, self.content, signatures)


def make_release(bundle: Bundle, version: int) -> SignedBundle:
    """Give a bundle a version; nobody has signed it yet.

    Raises:
        ConfigError: if the version is none, or a file can't be in such a bundle.
    """
    if not 1 <= version <= VERSION_MAX:
        raise ConfigError(f"{version} is no version", remedy="count from 1 upwards")
    try:
        return SignedBundle(bundle, version, _content(pack(_files(bundle, version))))
    except ArchiveError as error:
        raise ConfigError(f"no bundle can be made: {error}", remedy="rename the file", code=REFUSED) from error


def read_release(raw: bytes) -> SignedBundle:
    """Read the file. What comes back is whole and says of itself what it is; whether to believe it is another question.

    Raises:
        ConfigError: if it is anything but a file that `encode` wrote.
    """
    try:
        files = dict(unpack(unwrap(raw)))
        signatures = _signatures(files.pop(SIGNATURES, None))
        about = msgspec.json.decode(files.get(MANIFEST, b""), type=_Manifest).metadata.safebox
        found = make_release(_bundle(files, about), about.version)
        again = SignedBundle(found.bundle, found.version, found.content, signatures)
        same = found.bundle.digest == about.digest and again.encode() == raw
    except (ArchiveError, msgspec.DecodeError, UnicodeDecodeError, PolicyUnavailable, RecursionError) as error:
        raise ConfigError(f"not a policy bundle: {error}", remedy=_REMEDY, code=REFUSED) from error
    if not same:
        raise ConfigError("not a policy bundle: it is not what its manifest says", remedy=_REMEDY, code=REFUSED)
    return again


def is_signed(signature: Signature, release: Release) -> bool:
    """Whether a signature is one of the key it names over this release, and the key bears the name."""
    try:
        verifier = Verifier.parse(signature.key)
        raw = base64.b64decode(signature.signature, validate=True)
        Ed25519PublicKey.from_public_bytes(verifier.key).verify(raw, release.signed_bytes())
    except (ConfigError, binascii.Error, InvalidSignature, ValueError):
        return False
    return verifier.name == signature.name


def _files(bundle: Bundle, version: int) -> list[tuple[str, bytes]]:
    """Everything that is signed."""
    about = _About(
        format=1,
        version=version,
        digest=bundle.digest,
        relaxed=[dict(sorted(each.relaxed.items())) for each in bundle.layers],
    )
    manifest = _Manifest(
        revision=f"{version}-{bundle.digest[7:19]}", roots=_roots(bundle), rego_version=1, metadata=_Metadata(about)
    )
    modules = [(module.name, module.text.encode()) for module in bundle.modules]
    return [(MANIFEST, msgspec.json.encode(manifest)), (DATA_NAME, bundle.data.encode()), *modules]


def _content(tar: bytes) -> str:
    return "sha256:" + hashlib.sha256(tar).hexdigest()


def _roots(bundle: Bundle) -> list[str]:
    """What the bundle owns below `data`: OPA loads no other paths from it."""
    packages = {found[1] for module in bundle.modules if (found := _PACKAGE.search(module.text))}
    data: dict[str, Any] = json.loads(bundle.data)
    return sorted(packages | data.keys())


def _bundle(files: dict[str, bytes], about: _About) -> Bundle:
    data = files.get(DATA_NAME, b"").decode("utf-8")
    modules = [
        Module(name, content.decode("utf-8"), name)
        for name, content in files.items()
        if name not in (MANIFEST, DATA_NAME)
    ]
    for module in modules:
        if not module.name.endswith(".rego") or module.name.endswith(TEST_SUFFIX):
            raise ArchiveError(f"{module.name} does not belong into a bundle")
    layers = [Layer(relaxed=relaxed) for relaxed in about.relaxed]
    return seal(modules, json.dumps(parse_data(data, DATA_NAME), sort_keys=True, ensure_ascii=False), layers)


def _signatures(raw: bytes | None) -> tuple[Signature, ...]:
    if raw is None:
        return ()
    found = msgspec.json.decode(raw, type=tuple[Signature, ...])
    names = [each.name for each in found]
    if not found or len(found) > SIGNATURES_MAX or names != sorted(set(names)):
        raise ArchiveError("its signatures are not in order, or somebody signed twice")
    return found
