"""`safebox serve`: the firewall as a daemon that several `safebox run` share."""

from __future__ import annotations

from typing import Annotated

import typer

from safebox.firewall.settings import STUCK, STUCK_SECONDS
from safebox.sandbox.cli.options import (
    ChainIdOption,
    ChainOption,
    CheckpointOption,
    ComputeOption,
    ConfirmationsOption,
    EngineOption,
    FundOption,
    GovernanceOption,
    MailOption,
    MetricsOption,
    ModelOption,
    OpaOption,
    PlaybooksOption,
    PoliciesOption,
    PriceOption,
    PricesOption,
    RentOption,
    SenderOption,
    StuckAfterOption,
    StuckOption,
)
from safebox.sandbox.cli.serving import WARM, serve_to_end
from safebox.sandbox.cli.setup import Setup


def serve(
    policies: PoliciesOption = None,
    governance: GovernanceOption = None,
    opa: OpaOption = None,
    playbooks: PlaybooksOption = None,
    chain_url: ChainOption = None,
    chain_id: ChainIdOption = None,
    confirmations: ConfirmationsOption = None,
    stuck: StuckOption = STUCK,
    stuck_after: StuckAfterOption = STUCK_SECONDS,
    smtp_url: MailOption = None,
    mail_from: SenderOption = "agent@safebox.invalid",
    model_url: ModelOption = None,
    model_price: PriceOption = None,
    prices: PricesOption = None,
    compute_url: ComputeOption = None,
    compute_price: RentOption = None,
    metrics_port: MetricsOption = 0,
    engine: EngineOption = None,
    checkpoint_to: CheckpointOption = None,
    fund: FundOption = None,
    warm: Annotated[int, typer.Option("--warm", metavar="N", help="Sandboxes made ahead, on Docker.")] = WARM,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when the last run has left.")] = False,
) -> None:
    """Run the firewall until it is told to end (SIGTERM, Ctrl-C); start it again if it ends by itself."""
    setup = Setup(
        policies=tuple(policies or ()),
        governance=governance,
        playbooks=tuple(playbooks or ()),
        chain_urls=tuple(chain_url or ()),
        chain_id=chain_id,
        confirmations=confirmations,
        stuck=stuck,
        stuck_after=stuck_after,
        smtp_url=smtp_url,
        mail_from=mail_from,
        model_url=model_url,
        model_prices=tuple(model_price or ()),
        prices=prices,
        compute_url=compute_url,
        compute_prices=tuple(compute_price or ()),
        metrics_port=metrics_port,
        engine=engine,
        checkpoint_to=tuple(checkpoint_to or ()),
        opa=opa,
        funds=tuple(fund or ()),
    )
    raise typer.Exit(serve_to_end(setup, warm=warm, until_idle=until_idle))
