"""The world as one firewall sees it: a connector for each kind of effect, stand-ins where nothing real is named."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safebox.firewall.children import Children
from safebox.firewall.connectors.care import Care
from safebox.firewall.connectors.chain import ChainConnector
from safebox.firewall.connectors.compute import ComputeConnector, ComputeProvider
from safebox.firewall.connectors.inference import InferenceConnector
from safebox.firewall.connectors.leases import LeaseBook
from safebox.firewall.connectors.mail import MailConnector
from safebox.firewall.connectors.signing import SigningConnector
from safebox.firewall.connectors.spawn import NAME as SPAWN
from safebox.firewall.connectors.spawn import SpawnConnector
from safebox.firewall.connectors.upstream import Nodes
from safebox.firewall.core.price import IMAGE_PRICES, STANDIN_PRICE
from safebox.firewall.ledger import Ledger
from safebox.firewall.ports import Connector, RunView, SignerPort
from safebox.firewall.settings import OWNER_FUNDS_WEI, Settings
from safebox.firewall.standins.child import Name, StandIn


class World:
    """Connectors by name, and the stand-ins that were started for them.

    Use `open`, and `close` at the end.
    """

    def __init__(
        self,
        chain: ChainConnector,
        nodes: Nodes,
        compute: ComputeConnector,
        connectors: Mapping[str, Connector],
        standins: list[StandIn],
        urls: Mapping[str, str],
    ) -> None:
        self.chain = chain
        self.nodes = nodes
        self.compute = compute
        self.connectors = connectors
        self.urls = urls
        self._standins = standins

    @classmethod
    async def open(
        cls, settings: Settings, signer: SignerPort, provider: ComputeProvider, chain_id: int, ledger: Ledger
    ) -> World:
        """Start what stand-ins are needed and make the connectors.

        Raises:
            ConfigError: if a URL is wrong.
            StandInError: if a stand-in doesn't start.
        """
        standins: list[StandIn] = []
        log = os.open(settings.home / "standins.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

        async def stand_in(name: Name, *arguments: str | Path) -> str:
            child = await StandIn.start(name, *arguments, log=log)
            standins.append(child)
            return child.url

        try:
            fund = [f"{signer.owner_address}={OWNER_FUNDS_WEI}", *settings.stand_in_funds]
            funds = [word for each in fund for word in ("--fund", each)]
            chain_urls = settings.chain_urls or (await stand_in("chain", "--state", settings.home / "chain", *funds),)
            smtp_url = settings.smtp_url or await stand_in("mail", "--state", settings.mail)
            playbooks = [word for folder in settings.playbooks for word in ("--playbooks", str(folder))]
            model_url = settings.model_url or await stand_in("model", *playbooks)
        finally:
            os.close(log)
        nodes = Nodes(chain_urls, chain_id)
        chain = ChainConnector(
            nodes,
            chain_id,
            signer,
            confirmations=settings.confirmations_on(chain_id),
            care=Care(settings.stuck, settings.stuck_seconds),
        )
        prices = IMAGE_PRICES if settings.prices is None else settings.prices
        leases = LeaseBook(settings.home / "leases")
        compute = ComputeConnector(provider, dict(prices), leases, lambda run: ledger.book(run).rented)
        connectors: dict[str, Connector] = {
            "chain": chain,
            "signing": SigningConnector(chain, signer),
            "mail": MailConnector(smtp_url, settings.mail_from, inbox_of),
            "compute": compute,
            "inference": InferenceConnector(
                model_url,
                dict(settings.model_prices),
                default=STANDIN_PRICE if settings.model_url is None else None,
                key=settings.model_key,
            ),
        }
        urls = {"chain": chain_urls[0], "mail": smtp_url, "model": model_url}
        return cls(chain, nodes, compute, connectors, standins, urls)

    def spawning(self, children: Children, ledger: Ledger) -> None:
        """Let runs have children, too."""
        can = {*self.connectors, SPAWN}
        spawn = SpawnConnector(children, ledger, can)
        self.connectors = {**self.connectors, SPAWN: spawn}

    async def close(self) -> None:
        """Let go of connections and end the stand-ins."""
        for connector in self.connectors.values():
            await connector.close()
        for standin in self._standins:
            await standin.stop()


def inbox_of(run: RunView) -> Path | None:
    """The folder of a run's inbox; None if it has none."""
    if run.folder is None or run.inbox is None or run.mandate.mail is None or not run.mandate.mail.inbox:
        return None
    return Path(run.folder) / run.inbox
