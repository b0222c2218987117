"""How a firewall is set up from the command line. The options that say it are in `options.py`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args

from safebox.firewall.errors import ConfigError
from safebox.firewall.settings import STUCK, STUCK_SECONDS, Stuck

if TYPE_CHECKING:
    from safebox.firewall.connectors.compute import ComputeProvider
    from safebox.firewall.core.price import ImagePrice, ModelPrice
    from safebox.firewall.settings import Settings
    from safebox.sandbox.engines import SandboxEngine

OPENAI_URL: Final = "https://api.openai.com/v1"


class Setup(NamedTuple):
    """What was said on the command line; `None` and empty mean the default."""

    policies: tuple[Path, ...] = ()
    governance: Path | None = None
    playbooks: tuple[Path, ...] = ()
    chain_urls: tuple[str, ...] = ()
    chain_id: int | None = None
    smtp_url: str | None = None
    mail_from: str = "agent@safebox.invalid"
    model_url: str | None = None
    model_prices: tuple[str, ...] = ()
    metrics_port: int = 0
    engine: str | None = None
    funds: tuple[str, ...] = ()
    checkpoint_to: tuple[str, ...] = ()
    opa: str | None = None
    confirmations: int | None = None
    stuck: str = STUCK
    stuck_after: int = STUCK_SECONDS
    prices: Path | None = None
    compute_url: str | None = None
    compute_prices: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """The options of `safebox serve` that say the same."""
        named = [
            *(("--policies", str(each.absolute())) for each in self.policies),
            *(("--playbooks", str(each.absolute())) for each in self.playbooks),
            *(("--model-price", each) for each in self.model_prices),
            *(("--compute-price", each) for each in self.compute_prices),
            *(("--fund", each) for each in self.funds),
            *(("--chain-url", each) for each in self.chain_urls),
            *(("--checkpoint-to", each) for each in self._second_places()),
            ("--governance", self.governance.absolute() if self.governance else None),
            ("--prices", self.prices.absolute() if self.prices else None),
            ("--chain-id", self.chain_id),
            ("--smtp-url", self.smtp_url),
            ("--mail-from", self.mail_from),
            ("--model-url", self.model_url),
            ("--compute-url", self.compute_url),
            ("--metrics-port", self.metrics_port),
            ("--engine", self.engine),
            ("--opa", self.opa),
            ("--confirmations", self.confirmations),
            ("--stuck", self.stuck if self.stuck != STUCK else None),
            ("--stuck-after", self.stuck_after if self.stuck_after != STUCK_SECONDS else None),
        ]
        return [word for name, value in named if value is not None for word in (name, str(value))]

    def asked(self) -> dict[str, Any]:
        """What was said and is not the default, by the names of `Settings`: a firewall that is up must be like that."""
        said = {
            "policies": [str(each) for each in self._layers()] if self.policies else None,
            "governance": str(self.governance.absolute()) if self.governance else None,
            "playbooks": [str(each.absolute()) for each in self.playbooks],
            "chain_urls": list(self.chain_urls),
            "smtp_url": self.smtp_url,
            "mail_from": self.mail_from if self.mail_from != Setup._field_defaults["mail_from"] else None,
            "model_url": self.model_url,
            "compute_url": self.compute_url,
            "metrics_port": self.metrics_port or None,
            "checkpoint_to": list(self._second_places()),
            "opa": self.opa,
            "confirmations": self.confirmations,
            "asset_prices": str(self.prices.absolute()) if self.prices else None,
            "stuck": self.stuck if self.stuck != STUCK else None,
        }
        return {name: value for name, value in said.items() if value}

    def settings(self, *, until_idle: bool = False) -> Settings:
        """The firewall's settings.

        Raises:
            ConfigError: if a price, an address or a way is malformed, or policy is to come from folders and from signed
                bundles at once.
        """
        from safebox.firewall.settings import Settings, state_folder

        key = os.environ.get("OPENAI_API_KEY") or None
        return Settings(
            home=state_folder(),
            policies=self._layers(),
            governance=self.governance.absolute() if self.governance else None,
            playbooks=tuple(each.absolute() for each in self.playbooks),
            chain_urls=self.chain_urls,
            smtp_url=self.smtp_url,
            mail_from=self.mail_from,
            model_url=self.model_url or (OPENAI_URL if key is not None else None),
            model_key=key,
            model_prices=dict(_price(text) for text in self.model_prices),
            metrics_port=self.metrics_port,
            until_idle=until_idle,
            stand_in_funds=self.funds,
            checkpoint_to=self._second_places(),
            opa=self._opa(),
            confirmations=self.confirmations,
            stuck=self._stuck(),
            stuck_seconds=self.stuck_after,
            asset_prices=self.prices.absolute() if self.prices else None,
            compute_url=self.compute_url,
            compute_key=_compute_key(),
            prices=self._rents(),
        )

    def provider(self, engine: SandboxEngine) -> ComputeProvider:
        """Where compute is rented: at the provider that was named, or from the sandbox engine here.

        Raises:
            ConfigError: if its address or credential can't be used.
        """
        if self.compute_url is None:
            from safebox.sandbox.provider import LocalCompute

            return LocalCompute(engine)
        from safebox.firewall.connectors.http_compute import HttpCompute

        return HttpCompute(self.compute_url, _compute_key())

    def _rents(self) -> dict[str, ImagePrice] | None:
        if self.compute_prices and self.compute_url is None:
            raise ConfigError("--compute-price without --compute-url", remedy="the local engine has its own prices")
        return dict(_rent(text) for text in self.compute_prices) if self.compute_url is not None else None

    def _layers(self) -> tuple[Path, ...]:
        """The policy folders in force; none where only signed bundles judge."""
        from safebox.firewall.engines.layers import policy_layers

        if self.governance is None:
            return policy_layers(self.policies)
        if self.policies:
            raise ConfigError(
                "--policies and --governance at once", remedy="build a bundle from the folders, and have it signed"
            )
        return ()

    def _opa(self) -> str | None:
        if self.opa is not None:
            from safebox.firewall.engines.opa_address import parse_address

            parse_address(self.opa)
        return self.opa

    def _stuck(self) -> Stuck:
        known: dict[str, Stuck] = {each: each for each in get_args(Stuck)}
        if self.stuck not in known:
            raise ConfigError(f"--stuck {self.stuck} is not known", remedy=f"say one of {', '.join(known)}")
        return known[self.stuck]

    def _second_places(self) -> tuple[str, ...]:
        return tuple(each if "://" in each else str(Path(each).absolute()) for each in self.checkpoint_to)

    def chain(self) -> int:
        """The chain's id: the stand-in's unless another is named.

        Raises:
            ConfigError: if a node is named without its chain id.
        """
        from safebox.firewall.settings import STAND_IN_CHAIN_ID

        if self.chain_id is None and self.chain_urls:
            raise ConfigError("--chain-url without --chain-id", remedy="say which chain the node must be on")
        return self.chain_id if self.chain_id is not None else STAND_IN_CHAIN_ID


def _rent(text: str) -> tuple[str, ImagePrice]:
    from safebox.firewall.core.price import ImagePrice

    image, _, price = text.rpartition("=")
    if not image or not (price.isascii() and price.isdecimal()):
        raise ConfigError(f"{text!r} is not a price", remedy="write IMAGE=MICRO_USD, as in safebox/base=10000")
    return image, ImagePrice(per_minute=int(price))


def _compute_key() -> str | None:
    return os.environ.get("SAFEBOX_COMPUTE_KEY") or None


def _price(text: str) -> tuple[str, ModelPrice]:
    from safebox.firewall.core.price import ModelPrice

    model, _, prices = text.rpartition("=")
    into, _, out = prices.partition(",")
    if not model or not into.isdecimal() or not out.isdecimal():
        raise ConfigError(f"{text!r} is not a price", remedy="write MODEL=IN,OUT, as in gpt-4.1-mini=400,1600")
    return model, ModelPrice(input=int(into), output=int(out))
