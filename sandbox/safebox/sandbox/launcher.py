"""`safebox run`: one agent from its folder to its end.

The launcher owns the sandbox and keeps the listening sockets that live inside it; the firewall is given duplicates. So
a firewall that dies can be replaced under a running agent, and a launcher that dies takes its agent with it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Protocol

from safebox.firewall.control.client import ControlClient
from safebox.firewall.control.wire import PAUSED, RESUMED, ControlError
from safebox.firewall.errors import FirewallError, SafeboxError
from safebox.firewall.settings import Settings
from safebox.sandbox import service
from safebox.sandbox.aside import Aside
from safebox.sandbox.engines import Sandbox, SandboxEngine
from safebox.sandbox.mandate import MANDATE_NAME, check_mandate, read_mandate
from safebox.sandbox.spec import Exit, Limits, SandboxSpec

WAIT_SECONDS: Final = 0.2
"""How often the launcher looks whether the firewall still lives."""
FEED_SECONDS: Final = 2
"""How long the last events may take to be shown after the run's end."""


class Watcher(Protocol):
    """Who is shown what happens."""

    def started(self, about: Mapping[str, Any]) -> None:
        """The run exists, its agent is about to start."""
        ...

    def action(self, event: dict[str, Any]) -> None:
        """A decision, an outcome, a reload or a stop."""
        ...

    def output(self, data: bytes) -> None:
        """The agent wrote something."""
        ...

    def trouble(self, text: str) -> None:
        """The firewall died, or came back."""
        ...


class Ended:
    """How a run ended: the sandbox's exit, and the firewall's last word on it."""

    def __init__(self, exit_: Exit, about: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
        self.exit = exit_
        self.about = about
        self.summary = summary


class Launcher:
    """Runs one agent.

    Args:
        settings: the firewall's set-up.
        arguments: what `safebox serve` is given if a firewall has to be started.
        engine: makes the sandbox.
        watcher: is shown what happens.
        limits: the sandbox's limits.
        asked: how a firewall that is up must have been set up, by the names of `Settings`.
    """

    def __init__(
        self,
        settings: Settings,
        arguments: Sequence[str],
        engine: SandboxEngine,
        watcher: Watcher,
        limits: Limits | None = None,
        *,
        asked: Mapping[str, Any] | None = None,
    ) -> None:
        self._settings = settings
        self._asked = dict(asked or {})
        self._arguments = arguments
        self._engine = engine
        self._watcher = watcher
        self._limits = limits or Limits()
        self._stop: str | None = None
        self._pause = False
        self._still = False  # what was last done about that
        self._over = threading.Event()
        self._lines = ExitStack()  # to the firewalls of this run; the run ends when the last one's hangs up

    def run(self, folder: Path, command: Sequence[str] | None = None) -> Ended:
        """Run the agent in `folder` under its `safebox.toml`, or another command under the same mandate.

        Raises:
            SafeboxError: if it can't be started; nothing is left behind.
        """
        text = read_mandate(folder)
        with self._lines:
            control = self._lines.enter_context(self._firewall(text, folder))
            feed = self._follow()
            about = self._begin(control, text, folder)
            return self._lived(control, feed, about, self._spec(about, folder, command))

    def adopted(self, control: ControlClient, about: Mapping[str, Any]) -> Ended:
        """Run a child that has begun.

        Args:
            control: the connection on which it was handed over; whoever lets go of that lets go of the child.
            about: what was said then.

        Raises:
            SafeboxError: if its sandbox can't be started; it is over then.
        """
        folder, text = about["folder"], about["input"]
        with self._lines:
            spec = self._spec(about, None if folder is None else Path(folder), None, text)
            return self._lived(control, self._follow(), about, spec)

    def _lived(self, control: ControlClient, feed: ControlClient, about: Mapping[str, Any], spec: SandboxSpec) -> Ended:
        """What is the same for every run once it has begun: its sandbox, and its end."""
        run = spec.run_id
        threading.Thread(target=self._show, args=(feed, run), name="feed", daemon=True).start()
        try:
            return self._sandboxed(control, about, spec)
        except SafeboxError:
            self._finish(run, "failed_to_start", None)
            raise
        except KeyboardInterrupt:
            self._finish(run, "interrupted", None)
            raise

    def _firewall(self, text: str, folder: Path) -> ControlClient:
        """The firewall that is there; a mandate is read here before one is started for it."""
        found = service.connect(self._settings)
        if found is None:
            check_mandate(text, folder)
            found, _ = service.ensure(self._settings, self._arguments)
        return found

    def _begin(self, control: ControlClient, text: str, folder: Path) -> dict[str, Any]:
        try:
            return control.request(
                "start",
                mandate=text,
                source=str(folder / MANDATE_NAME),
                folder=str(folder.resolve()),
                engine=self._engine.name,
                asked=self._asked,
            )
        except ControlError:
            check_mandate(text, folder)  # says the same about a wrong mandate, and as an error of its own kind
            raise

    def _spec(
        self, about: Mapping[str, Any], folder: Path | None, command: Sequence[str] | None, text: str | None = None
    ) -> SandboxSpec:
        return SandboxSpec(
            run_id=str(about["run"]),
            image=str(about["image"]),
            command=tuple(command or about["command"]),
            folder=folder,
            env=about["environment"],
            limits=self._limits,
            ports=tuple(about["ports"]),
            input=None if text is None else text.encode(),
        )

    def _sandboxed(self, control: ControlClient, about: Mapping[str, Any], spec: SandboxSpec) -> Ended:
        run = spec.run_id
        with self._engine.create(spec) as sandbox:
            control.attach(run, sandbox.listeners)
            self._start(sandbox, about)
            exit_ = self._until_end(sandbox, control, run)
            return Ended(exit_, about, self._finish(run, self._stop or exit_.reason, exit_.code))

    def _start(self, sandbox: Sandbox, about: Mapping[str, Any]) -> None:
        """Start the agent, and say what runs while it starts; its output waits for that."""
        said = threading.Event()

        def output(data: bytes) -> None:
            said.wait()
            self._watcher.output(data)

        starting = Aside(lambda: sandbox.start(output))
        try:
            self._watcher.started(about)
        finally:
            said.set()
            starting.result()

    def _until_end(self, sandbox: Sandbox, control: ControlClient, run: str) -> Exit:
        while True:
            try:
                return sandbox.wait(WAIT_SECONDS)
            except TimeoutError:
                pass
            if self._stop is not None:
                sandbox.kill()
            elif self._pause is not self._still:
                self._hold(sandbox)
            elif not control.alive():
                control = self._again(sandbox, run)

    def _hold(self, sandbox: Sandbox) -> None:
        """Have the agent stand still, or go on. If that fails it is tried again; nothing of it acts meanwhile."""
        pause = self._pause
        with contextlib.suppress(SafeboxError, OSError):  # it may have ended just now
            if pause:
                sandbox.pause()
            else:
                sandbox.resume()
            self._still = pause

    def _again(self, sandbox: Sandbox, run: str) -> ControlClient:
        """Start the firewall again under the running agent."""
        self._watcher.trouble("the firewall is gone; starting it again")
        try:
            control = self._lines.enter_context(service.ensure(self._settings, self._arguments)[0])
            feed = self._follow()
            self._pause = False  # unless it is told otherwise
            control.attach(run, sandbox.listeners)
        except SafeboxError:
            sandbox.kill()
            raise
        threading.Thread(target=self._show, args=(feed, run), name="feed", daemon=True).start()
        self._watcher.trouble("the firewall is back, its ledger complete")
        return control

    def _finish(self, run: str, reason: str, code: int | None) -> dict[str, Any]:
        """Tell the firewall that the run is over. One that is gone is started for it: the money must come home."""
        try:
            with service.ensure(self._settings, self._arguments)[0] as control:
                summary = control.request("end", run=run, reason=reason, exit_code=code)
        except FirewallError as error:
            self._watcher.trouble(f"the end could not be told to the firewall: {error.cause}")
            return {"run": run, "reason": reason, "swept": "unknown", "lines": []}
        self._over.wait(FEED_SECONDS)
        return summary

    def _follow(self) -> ControlClient:
        feed = ControlClient(self._settings.control, timeout=None)
        feed.request("follow")
        return feed

    def _show(self, feed: ControlClient, run: str) -> None:
        """Show one firewall's events, until it or the run ends."""
        with feed:
            for event in feed.events():
                if event.get("run", run) != run:
                    continue
                if event.get("event") == "stop":
                    self._stop = str(event.get("reason", "killed"))
                if event.get("event") in (PAUSED, RESUMED):
                    self._pause = event["event"] == PAUSED
                self._watcher.action(event)
                if event.get("event") == "run_ended":
                    self._over.set()
                    return
