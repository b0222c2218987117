"""`safebox run`: one agent in a sandbox, everything it asks for decided, recorded and shown as it happens."""

from __future__ import annotations

from pathlib import Path
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
from safebox.sandbox.cli.session import run_to_end
from safebox.sandbox.cli.setup import Setup


def run(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The agent's folder, with its safebox.toml.")] = Path(),
    command: Annotated[list[str] | None, typer.Argument(metavar="-- COMMAND", help="Instead of the mandate's.")] = None,
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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Run an agent under its mandate; the exit status is the agent's own."""
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
    )
    raise typer.Exit(run_to_end(setup, folder, command, as_json=as_json))
