"""`safebox serve`: the firewall as a daemon that several `safebox run` share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import signal
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from safebox.firewall.settings import STUCK, STUCK_SECONDS
from safebox.sandbox.aside import Aside
from safebox.sandbox.cli.options import (
    ChainIdOption,
    ChainOption,
    CheckpointOption,
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
    SenderOption,
    StuckAfterOption,
    StuckOption,
)
from safebox.sandbox.cli.setup import Setup

if TYPE_CHECKING:
    from safebox.firewall.settings import Settings
    from safebox.firewall.supervisor import Ready
    from safebox.sandbox.engines import SandboxEngine


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
    metrics_port: MetricsOption = 0,
    engine: EngineOption = None,
    checkpoint_to: CheckpointOption = None,
    fund: FundOption = None,
    warm: Annotated[int, typer.Option("--warm", metavar="N", help="Sandboxes made ahead, on Docker.")] = 1,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when the last run has left.")] = False,
) -> None:
    """Run the firewall until it is told to end (SIGTERM, Ctrl-C); start it again if it ends by itself."""
    ready = _supervised() if not until_idle else None
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
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
        metrics_port=metrics_port,
        engine=engine,
        checkpoint_to=tuple(checkpoint_to or ()),
        opa=opa,
        funds=tuple(fund or ()),
    )
    import uvloop

    _raise_descriptors()
    uvloop.run(_serve(setup, until_idle=until_idle, warm=warm, ready=ready))


def _supervised() -> Ready:
    """Go on in a child process; the parent ends here, with the firewall's own exit status.

    A firewall that a launcher started for itself has the launcher for that.
    """
    from safebox.firewall.supervisor import Supervisor

    found = Supervisor().watch()
    if isinstance(found, int):
        raise typer.Exit(found)
    return found


def _raise_descriptors() -> None:
    """Take as many descriptors as this process may have: each run's connections are a share of them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(setup: Setup, *, until_idle: bool, warm: int, ready: Ready | None) -> None:
    from safebox.firewall.engines.validate import check

    settings = setup.settings(until_idle=until_idle)
    # a process of its own: the rest is loaded meanwhile
    checked = Aside(partial(check, settings.policies)) if settings.governance is None else None
    from safebox.firewall.keyfile import owner_key

    key = Aside(partial(owner_key, settings.home))  # slow on purpose
    found = Aside(partial(_engine, setup.engine))
    from safebox.firewall.daemon import Begun, Firewall
    from safebox.firewall.errors import FirewallError
    from safebox.sandbox.provider import LocalCompute

    engine = found.result()
    firewall = Firewall(
        settings, LocalCompute(engine), setup.chain(), begun=Begun(key.result, checked.result if checked else None)
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, firewall.ended.set)
    await firewall.start()
    typer.echo(f"safebox firewall in {settings.home}, metrics at {firewall.metrics_url}")
    for part, what in firewall.policy.parts().items():
        typer.echo(f"  {part:8} {what}")
    if ready is not None:
        ready()
    with _pool(settings, engine, 0 if until_idle else warm), contextlib.suppress(asyncio.CancelledError):
        await firewall.ended.wait()
    if firewall.failed:  # as after a crash: its runs go on under the next one
        raise FirewallError("the firewall can't go on; its log says why")
    await firewall.close()


def _engine(preferred: str | None) -> SandboxEngine:
    from safebox.sandbox.engines import choose_engine

    engine = choose_engine(preferred)
    engine.reap()
    return engine


def _pool(settings: Settings, engine: SandboxEngine, size: int) -> contextlib.AbstractContextManager[object]:
    """Sandboxes made ahead; none for a firewall that ends with its runs, nor where making one takes no time."""
    from safebox.firewall.gateways.limits import PORTS
    from safebox.sandbox.pool import Pool

    if engine.name != "docker" or size == 0:
        return contextlib.nullcontext()
    return Pool(settings.pool, tuple(PORTS.values()), size)
