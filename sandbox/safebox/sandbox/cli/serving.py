"""Serves as the firewall's process until it is told to end; `serve.py` and `quick.py` read the words for it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

from safebox.sandbox.aside import Aside

if TYPE_CHECKING:
    from safebox.firewall.settings import Settings
    from safebox.firewall.supervisor import Ready
    from safebox.sandbox.cli.setup import Setup
    from safebox.sandbox.engines import SandboxEngine

WARM: Final = 1
"""Sandboxes made ahead, where making one takes its time."""


def serve_to_end(setup: Setup, *, warm: int, until_idle: bool) -> int:
    """Run the firewall; its exit status.

    A firewall that a launcher started for itself (`until_idle`) has the launcher to start it again. All others go on in
    a child process, and the parent starts the next when one ends by itself.
    """
    gc.disable()  # until the start is over: what it makes stays, and looking through it again and again takes its time
    ready = None
    if not until_idle:
        from safebox.firewall.supervisor import Supervisor

        found = Supervisor().watch()
        if isinstance(found, int):
            return found
        ready = found
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    import uvloop

    _raise_descriptors()
    uvloop.run(_serve(setup, until_idle=until_idle, warm=warm, ready=ready))
    return 0


def _raise_descriptors() -> None:
    """Take as many descriptors as this process may have: each run's connections are a share of them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(setup: Setup, *, until_idle: bool, warm: int, ready: Ready | None) -> None:
    from safebox.firewall.engines.validate import check

    settings = setup.settings(until_idle=until_idle)
    from safebox.firewall.signer.process import begin

    signer = begin(settings.home, settings.ledger)  # opening a key is slow on purpose
    # a process of its own: the rest is loaded meanwhile
    checked = Aside(partial(check, settings.policies)) if settings.governance is None else None
    found = Aside(partial(_engine, setup.engine))
    from safebox.firewall.daemon import Begun, Firewall
    from safebox.firewall.errors import FirewallError
    from safebox.sandbox.hosting import Launchers

    engine = found.result()
    firewall = Firewall(
        settings,
        setup.provider(engine),
        setup.chain(),
        begun=Begun(signer, checked.result if checked else None),
        children=Launchers(settings, setup.arguments()),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, firewall.ended.set)
    await firewall.start()
    gc.freeze()
    gc.enable()
    lines = [f"safebox firewall in {settings.home}, metrics at {firewall.metrics_url}"]
    lines += [f"  {part:8} {what}" for part, what in firewall.policy.parts().items()]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
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
