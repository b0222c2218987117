"""What was rented and not yet settled, kept in small files so that no restart forgets or refunds twice.

A lease is written before its container starts and marked as settled, with who settled it, before the refund is told.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Literal

import msgspec

from safebox.firewall.connectors.prices import ImagePrice
from safebox.firewall.durable import sync_folder
from safebox.firewall.errors import EffectError

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")


class Last(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a container was when its lease was settled: what can be told of it once the provider has removed it."""

    state: Literal["running", "exited", "stopped"]
    exit_code: int | None
    output: str


class Lease(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rented container; `charged` in micro-USD. `settled_by` is the action that settled it.

    `ends` is when it runs no more in any case, in seconds since the epoch (None: nobody knows), `begun` says that the
    provider told of its start.
    """

    run: str
    instance: str
    image: str
    minutes: int
    price: ImagePrice
    charged: int
    settled_by: str | None = None
    refund: int = 0
    last: Last | None = None
    ends: int | None = None
    begun: bool = False

    @property
    def reference(self) -> str:
        """What the provider knows it by: no other run can name it."""
        return reference_of(self.run, self.instance)


def reference_of(run: str, instance: str) -> str:
    """What the provider knows a run's instance by."""
    return f"{run}.{instance}"


class LeaseBook:
    """The leases in one folder, each a file `RUN.INSTANCE.json`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder

    def put(self, lease: Lease) -> None:
        """Write a lease, whole or not at all, and make it durable.

        Raises:
            EffectError: It could not be written.
        """
        path = self._path(lease.run, lease.instance)
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
        try:
            with temporary.open("xb") as file:
                file.write(msgspec.json.encode(lease))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(self._folder)
        except OSError as error:
            raise EffectError(f"the lease could not be written: {error.strerror}") from error

    def find(self, run: str, instance: str) -> Lease | None:
        """A lease of this run; None for an instance that isn't this run's.

        Raises:
            EffectError: It can't be read.
        """
        if _NAME.fullmatch(instance) is None:
            return None
        path = self._path(run, instance)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Lease)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise EffectError("the lease can't be read") from error

    def open_ones(self, run: str) -> list[Lease]:
        """The leases of a run that are not settled, in order of start.

        Raises:
            EffectError: One can't be read.
        """
        names = sorted(path.name.split(".")[1] for path in self._folder.glob(f"{run}.*.json"))
        found = (self.find(run, name) for name in names)
        return [lease for lease in found if lease is not None and lease.settled_by is None]

    def remove(self, lease: Lease) -> None:
        """Forget a lease whose container certainly never started."""
        self._path(lease.run, lease.instance).unlink(missing_ok=True)

    def _path(self, run: str, instance: str) -> Path:
        if _NAME.fullmatch(run) is None or _NAME.fullmatch(instance) is None:
            raise EffectError("not the name of a lease")
        return self._folder / f"{run}.{instance}.json"
