"""How a firewall is set up: where its state is, which policies judge, and what each part of the world is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

from safebox.firewall.errors import ConfigError

if TYPE_CHECKING:
    from safebox.firewall.core.price import ImagePrice, ModelPrice

OWNER_FUNDS_WEI: Final = 1_000 * 10**18
"""What the stand-in chain gives the owner's treasury at its first start."""
STAND_IN_CHAIN_ID: Final = 31337
"""The stand-in chain's, and what development nodes commonly use: no network of value has it."""
CONFIRMATIONS: Final = 12
"""What exchanges long waited for on the main network; a deeper reorganisation has not been seen there since 2016."""
Stuck = Literal["wait", "resend", "replace", "cancel"]
STUCK: Final[Stuck] = "resend"
STUCK_SECONDS: Final = 180
"""Fifteen blocks of the main network."""
POOL_NAME: Final = "pool.sock"
_OPTIONS: Final = {"chain_urls": "chain-url", "asset_prices": "prices"}
"""Settings that are not called what their options are."""


def state_folder() -> Path:
    """`$SAFEBOX_HOME`, else `$XDG_STATE_HOME/safebox`, else `~/.local/state/safebox`."""
    home = os.environ.get("SAFEBOX_HOME")
    if home:
        return Path(home).absolute()
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "safebox"


class Settings(NamedTuple):
    """One firewall's set-up. A URL that is None means the stand-in, which is named wherever it shows.

    `chain_urls` are nodes of one chain, in order of preference; none means the stand-in.
    `mail_from` is the sender of all mail; `model_key` is the upstream's credential and never leaves the firewall;
    `stand_in_funds` (`ADDRESS=WEI`) is what others own on the stand-in chain from its first start on.
    `prices`, by image, of None is the local provider's own list, `core.price.IMAGE_PRICES`. What has no price
    can't be bought, except that the stand-in model costs `core.price.STANDIN_PRICE`.
    `policies` are the layers in force, the base first; with `governance`, the file that names who may sign policy,
    there are none: then only an activated bundle judges.
    `confirmations` is how many blocks must hold a payment until it is final; None: one on a development chain, where
    a block is final at once, and `CONFIRMATIONS` elsewhere. `stuck` says what is done with payments that aren't mined
    after `stuck_seconds` (`connectors.care.Care`).
    `opa` is the address of an OPA server on this machine that evaluates policy; None: this process does.
    `compute_url` is the address of the compute provider; None: the engine of this machine. `compute_key` lets in there.
    `asset_prices` is the file with what assets cost, for mandates with a total (`prices.PriceList`).
    `checkpoint_to` are files and http(s) addresses where the ledger's checkpoints are kept a second time.
    """

    home: Path
    policies: tuple[Path, ...]
    playbooks: tuple[Path, ...] = ()
    chain_urls: tuple[str, ...] = ()
    smtp_url: str | None = None
    mail_from: str = "agent@safebox.invalid"
    model_url: str | None = None
    model_key: str | None = None
    prices: Mapping[str, ImagePrice] | None = None
    model_prices: Mapping[str, ModelPrice] = MappingProxyType({})
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    until_idle: bool = False
    stand_in_funds: tuple[str, ...] = ()
    checkpoint_to: tuple[str, ...] = ()
    governance: Path | None = None
    opa: str | None = None
    confirmations: int | None = None
    stuck: Stuck = STUCK
    stuck_seconds: int = STUCK_SECONDS
    asset_prices: Path | None = None
    compute_url: str | None = None
    compute_key: str | None = None

    def confirmations_on(self, chain_id: int) -> int:
        """How many blocks must hold a payment on this chain until it is final."""
        if self.confirmations is not None:
            return self.confirmations
        return 1 if chain_id == STAND_IN_CHAIN_ID else CONFIRMATIONS

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.home / "ledger.sqlite3"

    @property
    def control(self) -> Path:
        """The control socket."""
        return self.home / "control.sock"

    @property
    def pool(self) -> Path:
        """The socket of the pool of ready sandboxes."""
        return self.home / POOL_NAME

    @property
    def mail(self) -> Path:
        """The stand-in relay's Maildir."""
        return self.home / "mail"

    def parts(self) -> dict[str, str]:
        """Which real part each part of the world is, in words for people."""
        return {
            "policy": f"OPA server at {self.opa}" if self.opa else "embedded Rego engine",
            "ledger": ", checkpoints also in ".join([f"SQLite, {self.ledger}", *_named(self.checkpoint_to)]),
            "chain": ", then ".join(map(without_password, self.chain_urls))
            or "stand-in: py-evm on this machine, no real money",
            "mail": without_password(self.smtp_url)
            if self.smtp_url
            else f"stand-in: a sink in {self.mail}, nothing leaves",
            "compute": without_password(self.compute_url) if self.compute_url else "the local sandbox engine",
            "model": self.model_url or "stand-in: a scripted model that plays a playbook, no LLM",
        }


def _named(places: tuple[str, ...]) -> list[str]:
    return [without_password(each) if "://" in each else each for each in places]


def without_password(url: str) -> str:
    """A URL without the credentials it may carry."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"


def check_asked(settings: Settings, asked: Mapping[str, Any]) -> None:
    """See that a run's launcher was told to have the world that its firewall has.

    Raises:
        ConfigError: if it was told of another.
    """
    for name, wanted in asked.items():
        if _as_said(getattr(settings, name, None)) != wanted:
            raise ConfigError(
                f"the firewall that is up was started with another --{_OPTIONS.get(name, name.replace('_', '-'))}",
                remedy="leave the option out, use another SAFEBOX_HOME, or stop that firewall",
            )


def _as_said(found: Any) -> Any:
    """A setting as a launcher sends it."""
    if isinstance(found, tuple):
        return [str(each) for each in cast("tuple[object, ...]", found)]
    return str(found) if isinstance(found, Path) else found
