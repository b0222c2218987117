"""Compute from a provider over HTTP, as `deploy/compute-api.md` documents it: seven questions, each a POST of JSON.

How it can be attacked, and how it fails:
- a provider that lies about an image: what was decided is a digest, and the start names it; what the provider runs
  then is its word, as with every provider;
- an answer that is late, too long, of another shape, or for another reference: none at all. Whether something was
  started is asked again by its reference, which is closed by that: a start that is late is refused. Until that is
  answered the lease is charged;
- two starts for one lease: the provider is told the reference, and has to start one;
- an answer that would be shown to the agent: an instance's output is cut, and the words of an error are not repeated;
- the credential: it goes to the configured address alone, never over a redirect, and never into a sandbox.
"""

from __future__ import annotations

import base64
import re
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from safebox.firewall.errors import ConfigError, EffectError, SandboxError
from safebox.firewall.exchange import ask, endpoint

ASK_SECONDS: Final = 5.0
"""Three questions fit into the time in which a cost has to be known."""
START_SECONDS: Final = 30.0
"""A provider may have to fetch an image first."""
ANSWER_BYTES_MAX: Final = 1_048_576
"""64 KiB of output, each byte of it escaped."""
SECONDS_MAX: Final = 366 * 86_400
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,200}", re.ASCII)


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    id: str | None


class _Begun(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    reference: str
    digest: str


class _Resolved(msgspec.Struct, forbid_unknown_fields=True):
    digest: str | None


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class RentedStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an instance is, as its provider says; see `compute.InstanceView`."""

    state: Literal["running", "exited", "stopped"]
    exit_code: Annotated[int, msgspec.Meta(ge=0, le=255)] | None
    output: str
    seconds: Annotated[int, msgspec.Meta(ge=0, le=SECONDS_MAX)]


_Answer = TypeVar("_Answer", _Named, _Begun, _Resolved, _Nothing, RentedStatus)


class HttpCompute:
    """A `compute.ComputeProvider` at an address. Every method may be called from any thread.

    Args:
        url: `https://HOST/…`, or `http://` on this machine.
        key: the bearer credential; none is sent without.

    Raises:
        ConfigError: if the address or the credential can't be used.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        try:
            self._base = endpoint(url)
        except ValueError as error:
            raise ConfigError(f"--compute-url {url[:80]!r}: {error}", remedy="name an https:// address") from error
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key and key):
            raise ConfigError("the compute provider's key has characters that no header may have", remedy="check it")
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"

    def start(
        self,
        *,
        reference: str,
        image: str,
        command: tuple[str, ...],
        input: str | None,
        seconds: int,
        digest: str | None = None,
    ) -> str:
        """Start one instance; see `compute.ComputeProvider`.

        Raises:
            SandboxError: if the provider refuses, or doesn't say that it did exactly this.
        """
        asked = {
            "reference": reference,
            "image": image,
            "digest": digest,
            "command": command,
            "input": None if input is None else base64.b64encode(input.encode()).decode("ascii"),
            "seconds": seconds,
        }
        begun = self._ask("instances/start", asked, _Begun, seconds=START_SECONDS)
        if begun.reference != reference or digest not in (None, begun.digest):
            raise SandboxError("the compute provider started something else", remedy="ask it what")
        return _checked(begun.id)

    def status(self, instance: str) -> RentedStatus:
        """Say how an instance is.

        Raises:
            SandboxError: if the provider doesn't know it, or doesn't say.
        """
        return self._ask("instances/status", {"id": instance}, RentedStatus)

    def stop(self, instance: str) -> None:
        """Stop an instance; one that has ended stays as it is.

        Raises:
            SandboxError: if the provider doesn't say that it did.
        """
        self._ask("instances/stop", {"id": instance}, _Nothing)

    def discard(self, instance: str) -> None:
        """End an instance and forget it.

        Raises:
            SandboxError: if the provider doesn't say that it did.
        """
        self._ask("instances/discard", {"id": instance}, _Nothing)

    def find(self, reference: str) -> str | None:
        """The provider's id for a reference.

        Raises:
            SandboxError: if the provider doesn't say.
        """
        found = self._ask("instances/find", {"reference": reference}, _Named).id
        return None if found is None else _checked(found)

    def close(self, reference: str) -> str | None:
        """The provider's id for a reference, under which it starts nothing any more.

        Raises:
            SandboxError: if the provider doesn't say.
        """
        found = self._ask("instances/close", {"reference": reference}, _Named).id
        return None if found is None else _checked(found)

    def image_digest(self, image: str) -> str | None:
        """What an image's name means to the provider now, as `sha256:…`.

        Raises:
            SandboxError: if the provider doesn't say.
        """
        digest = self._ask("images/resolve", {"image": image}, _Resolved).digest
        if digest is not None and _DIGEST.fullmatch(digest) is None:
            raise SandboxError("the compute provider names an image by no digest")
        return digest

    def _ask(self, what: str, fields: dict[str, Any], shape: type[_Answer], *, seconds: float = ASK_SECONDS) -> _Answer:
        to = self._base._replace(path=f"{self._base.path.rstrip('/')}/v1/{what}")
        body = msgspec.json.encode(fields)
        try:
            status, content = ask(to, self._headers, body, seconds=seconds, most=ANSWER_BYTES_MAX)
        except EffectError as error:
            raise SandboxError(f"the compute provider: {error.cause}") from error
        if status != HTTPStatus.OK:
            raise SandboxError(f"the compute provider answers {what} with {status}")
        try:
            return msgspec.json.decode(content, type=shape)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise SandboxError(f"the compute provider's answer to {what} can't be read") from error


def _checked(name: str) -> str:
    if _ID.fullmatch(name) is None:
        raise SandboxError("the compute provider names an instance by no name")
    return name
