"""`safebox host-child RUN`: the launcher of a child run. The firewall starts it; it is no command for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from safebox.firewall.gateways.limits import PORTS
from safebox.firewall.settings import POOL_NAME, state_folder
from safebox.sandbox.cli.quick import read_serve
from safebox.sandbox.cli.session import Screen, ignore
from safebox.sandbox.cli.setup import Setup
from safebox.sandbox.errors import SandboxError

ENDED: Final = 0


def host_child(words: Sequence[str]) -> int:
    """Take up a child and see it to its end; the exit status is 0 however the child ended.

    Args:
        words: the run, and the options of `safebox serve` that say how its firewall was set up.

    Raises:
        SafeboxError: if there is no such child to take up, or its sandbox can't be started.
    """
    asked = read_serve(words[1:], warm=0)
    if not words or asked is None:
        raise SandboxError("host-child is not told which run", "the firewall starts it; there is nothing to do")
    _hosted(asked.setup, words[0])
    return ENDED


def _hosted(setup: Setup, run: str) -> None:
    from safebox.sandbox import service
    from safebox.sandbox.engines import choose_engine
    from safebox.sandbox.launcher import Launcher

    settings = setup.settings()
    control = service.connect(settings)
    if control is None:
        raise SandboxError(f"the firewall of {run} is gone", "the next one ends the run")
    with control:
        about = control.request("adopt", run=run, engine="")
        engine = choose_engine(str(about["engine"]), state_folder() / POOL_NAME)
        engine.prepare(tuple(PORTS.values()))
        screen = Screen(settings, engine, ignore, as_json=True)
        try:
            Launcher(settings, setup.arguments(), engine, screen).adopted(control, about)
        finally:
            screen.close()
            engine.release()
