"""Where the state is and who answers there: what several commands ask first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from safebox.firewall.errors import ConfigError
from safebox.firewall.settings import state_folder

if TYPE_CHECKING:
    from safebox.firewall.control.client import ControlClient


def ledger_path(named: Path | None = None) -> Path:
    """The ledger that was named, or the one in the state folder."""
    return named or state_folder() / "ledger.sqlite3"


def log_path(run: str) -> Path:
    """What a run's agent printed."""
    return state_folder() / "runs" / run / "agent.log"


def connect() -> ControlClient:
    """Reach the firewall.

    Raises:
        ControlError: if none answers.
    """
    from safebox.firewall.control.client import ControlClient

    return ControlClient(state_folder() / "control.sock")


def live_runs(client: ControlClient) -> list[dict[str, Any]]:
    """What the firewall tells of its runs."""
    return list(client.request("ps").get("runs", ()))


def full_name(named: str, known: list[str]) -> str:
    """The one run that was meant: its whole name, or the end of it.

    Raises:
        ConfigError: if none or several could be meant.
    """
    found = [run for run in known if run == named] or [run for run in known if run.lower().endswith(named.lower())]
    if len(found) == 1 and named:
        return found[0]
    what = "several runs' names end" if len(found) > 1 else "no run's name ends"
    raise ConfigError(f"{what} with {named!r}", remedy="safebox ps lists the runs", code="config.no_run")


def known_logs() -> list[str]:
    """The runs that left a log."""
    return sorted(path.parent.name for path in (state_folder() / "runs").glob("*/agent.log"))
