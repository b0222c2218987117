"""One run as a person sees it: the sandbox and the firewall found, the agent shown, its output kept, its end told."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from safebox.firewall.errors import ConfigError
from safebox.firewall.gateways.limits import PORTS
from safebox.firewall.settings import POOL_NAME, state_folder
from safebox.sandbox.aside import Aside
from safebox.sandbox.engines import choose_engine
from safebox.sandbox.errors import SandboxError
from safebox.sandbox.mandate import check_mandate, read_mandate
from safebox.sandbox.spec import BASE_IMAGE

if TYPE_CHECKING:
    from safebox.firewall.settings import Settings
    from safebox.sandbox.cli.display import RunDisplay
    from safebox.sandbox.cli.setup import Setup
    from safebox.sandbox.engines import SandboxEngine
    from safebox.sandbox.launcher import Ended

Watch = Callable[[Mapping[str, Any], Mapping[str, Any]], None]
"""Is told of a run (the answer to its start) and of one event of it."""
NOT_BY_ITSELF = 1
"""Exit status when the sandbox ended the agent and its own status says nothing."""


def ignore(about: Mapping[str, Any], event: Mapping[str, Any]) -> None:
    """Watch nothing."""


def run_to_end(setup: Setup, folder: Path, command: list[str] | None, *, as_json: bool) -> int:
    """Run and show one agent; return the exit status of `safebox run`, the agent's own.

    Raises:
        SafeboxError: if it can't be started.
    """
    asked = setup.asked()
    if not setup.playbooks:
        setup = setup._replace(playbooks=(folder.resolve().parent,))  # where NAME/playbook.toml is looked up
    ended = run_agent(setup, folder, command, as_json=as_json, asked=asked)
    return ended.exit.code if ended.exit.reason == "exited" else ended.exit.code or NOT_BY_ITSELF


def run_agent(
    setup: Setup,
    folder: Path,
    command: list[str] | None,
    *,
    as_json: bool = False,
    watch: Watch = ignore,
    asked: Mapping[str, Any] | None = None,
) -> Ended:
    """Run one agent and show it; builds the base image first if it isn't there.

    `watch` is shown each event, too; `asked` is how a firewall that is up must have been set up (`Setup.asked`).

    Raises:
        SafeboxError: if it can't be started.
    """
    text = read_mandate(folder)
    Aside(_load)
    engine = choose_engine(setup.engine, state_folder() / POOL_NAME)
    if not has_image(engine):
        check_mandate(text, folder)
        build_image(engine)
    engine.prepare(tuple(PORTS.values()))
    try:
        return _launched(
            engine, setup, folder, command, Screen(setup.settings(), engine, watch, as_json=as_json), asked
        )
    finally:
        engine.release()


def _load() -> None:
    """Load the rest while the engine is asked whether it answers."""
    importlib.import_module("safebox.sandbox.launcher")


def _launched(
    engine: SandboxEngine,
    setup: Setup,
    folder: Path,
    command: list[str] | None,
    watcher: Screen,
    asked: Mapping[str, Any] | None,
) -> Ended:
    from safebox.sandbox.launcher import Launcher

    reaping = Aside(engine.reap)
    try:
        ended = Launcher(setup.settings(), setup.arguments(), engine, watcher, asked=asked).run(folder, command)
        headings, rows, text = closing(ended)
        watcher.display.closing(headings, rows, text=text)
    finally:
        watcher.close()
        _finish_reaping(reaping, watcher)
    return ended


def has_image(engine: SandboxEngine) -> bool:
    """Whether the base image is there."""
    return engine.image_digest(BASE_IMAGE) is not None


def build_image(engine: SandboxEngine) -> None:
    """Build the base image, saying so.

    Raises:
        SandboxError: if it can't be built.
    """
    from safebox.sandbox.image import build

    sys.stderr.write(f"building {BASE_IMAGE} for {engine.name}, once\n")
    build(engine, progress=lambda text: sys.stderr.write(f"  {text}\n"))  # type: ignore[arg-type]


def _finish_reaping(reaping: Aside[list[str]], watcher: Screen) -> None:
    try:
        reaping.result()
    except SandboxError as error:
        watcher.trouble(f"what dead runs left could not be removed: {error.cause}")


class Screen:
    """A launcher's watcher that shows the run and keeps what its agent wrote in `runs/RUN/agent.log`."""

    def __init__(self, settings: Settings, engine: SandboxEngine, watch: Watch, *, as_json: bool = False) -> None:
        self._as_json = as_json
        self._lock = threading.Lock()
        self._display: RunDisplay | None = None
        self._settings = settings
        self._engine = engine
        self._watch = watch
        self._about: Mapping[str, Any] = {}
        self._log: IO[bytes] | None = None

    @property
    def display(self) -> RunDisplay:
        """Where all is shown; loaded when there is something to show, which is while the sandbox is made."""
        with self._lock:
            if self._display is None:
                from safebox.sandbox.cli.display import RunDisplay

                self._display = RunDisplay(as_json=self._as_json)
            return self._display

    def started(self, about: Mapping[str, Any]) -> None:
        """Say what runs where, and what each part of its world is."""
        self._about = about
        folder = self._settings.home / "runs" / str(about["run"])
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._log = (folder / "agent.log").open("ab", buffering=0)
        except OSError as error:
            raise ConfigError(f"{folder} can't be written: {error.strerror}", remedy="free space, or chmod") from error
        rows = [
            ("run", str(about["run"])),
            ("agent", str(about["agent"])),
            ("sandbox", self._engine.name),
            ("", f"not isolated: {', '.join(self._engine.shared())} (see safebox doctor)"),
            *about["parts"].items(),
        ]
        if about.get("address"):
            rows.append(("wallet", str(about["address"])))
        rows += [("not lent" if not at else "", note) for at, note in enumerate(about.get("notes") or ())]
        self.display.header(rows)

    def action(self, event: dict[str, Any]) -> None:
        """Show one event of the ledger."""
        self.display.action(event)
        if self._about:
            self._watch(self._about, event)

    def output(self, data: bytes) -> None:
        """Show and keep what the agent wrote."""
        if self._log is not None:
            self._log.write(data)
        self.display.output(data)

    def trouble(self, text: str) -> None:
        """Say what is wrong with the firewall."""
        sys.stderr.write(f"safebox: {text}\n")

    def close(self) -> None:
        """Let go of the log."""
        if self._log is not None:
            self._log.close()


def closing(ended: Ended) -> tuple[tuple[str, ...], list[tuple[str, str, str, str]], str]:
    """The table of budgets and the last line of a run."""
    from safebox.firewall.core.money import format_units

    rows = [
        (
            str(line["rail"]),
            format_units(int(line["granted"]), str(line["asset"])),
            format_units(int(line["spent"]), str(line["asset"])),
            format_units(int(line["reserved"]), str(line["asset"])),
        )
        for line in ended.summary.get("lines", ())
    ]
    detail = f" ({ended.exit.detail})" if ended.exit.detail else ""
    text = f"{ended.about['agent']} ended: {ended.exit.reason}, status {ended.exit.code}{detail}"
    if ended.summary.get("swept") not in (None, "nothing"):
        text += f"; wallet swept to its owner: {ended.summary['swept']}"
    return ("budget", "granted", "spent", "reserved"), rows, text
