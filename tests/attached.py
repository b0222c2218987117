"""A firewall in a process of its own, under its supervisor, and runs whose listeners this test keeps, as launchers do.

When the firewall goes away, its runs are handed to the next one as `safebox run` does it; nobody starts anything.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from safebox.firewall.control.client import ControlClient
from safebox.firewall.control.wire import ControlError
from safebox.firewall.engines.bundle import pack_folder
from tests.live import Answered, Home, Started, http, until

FRIEND: Final = "friend@example.org"
MAILER: Final = f"""
[agent]
name = "mailer"
command = ["true"]
purpose = "Write to one friend."
task = "Write."
expires = "1h"
[mail]
recipients = ["{FRIEND}"]
per_hour = 1000
"""
NOWHERE: Final = {
    "--chain-url": "http://127.0.0.1:9",
    "--chain-id": "31337",
    "--model-url": "http://127.0.0.1:9/v1",
    "--engine": "bwrap",
}
"""Parts of the world that nobody asks: a stand-in for each takes a second to start."""
LOST: Final = (urllib.error.URLError, HTTPException, ConnectionError, TimeoutError)
WAIT_SECONDS: Final = 60.0
UNAVAILABLE: Final = 503


class AttachedRun:
    """One run as its agent sees it: listeners that outlive firewalls."""

    def __init__(self, name: str, address: str | None, listeners: list[socket.socket]) -> None:
        self.name = name
        self.address = address
        self.listeners = listeners
        self.url = f"http://127.0.0.1:{listeners[0].getsockname()[1]}/v1/tools/"

    def call(self, tool: str, arguments: dict[str, Any], key: str | None = None, *, timeout: float = 60) -> Answered:
        """Ask once."""
        return http(self.url + tool, json.dumps(arguments).encode(), key, timeout=timeout)

    def ask(self, tool: str, arguments: dict[str, Any], key: str) -> Answered:
        """Ask as a careful client does: again under the same key after a lost answer, and after a 503."""
        end = time.monotonic() + WAIT_SECONDS
        while True:
            with suppress(*LOST):
                answer = self.call(tool, arguments, key)
                if answer.status != UNAVAILABLE:
                    return answer
            assert time.monotonic() < end, "no answer"
            time.sleep(0.05)

    def mail(self, body: str, key: str | None = None, *, timeout: float = 60) -> Answered:
        """Send a mail."""
        return self.call("email.send", letter(body), key, timeout=timeout)


def letter(body: str) -> dict[str, Any]:
    """The arguments of a mail to the one friend."""
    return {"to": [FRIEND], "subject": "hello", "body": body}


class Attached:
    """A supervised firewall and its runs. Make it with `attached`."""

    def __init__(self, home: Home, options: Sequence[str]) -> None:
        self.home = home
        self.runs: dict[str, AttachedRun] = {}
        self.refused: dict[str, str] = {}
        self.firewall: Started = home.serve(*options)
        self._line = home.client()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._keeper = threading.Thread(target=self._keep, name="launchers", daemon=True)
        self._keeper.start()

    def start(self, mandate: str = MAILER) -> AttachedRun:
        """Start a run and hand over its listeners."""
        with self._lock:
            about = self._line.request("start", mandate=mandate, source="safebox.toml", folder=None, engine="none")
            listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
            run = AttachedRun(about["run"], about["address"], listeners)
            self._line.attach(run.name, run.listeners)
            self.runs[run.name] = run
        return run

    @property
    def pid(self) -> int:
        """The firewall's own process; 0 while there is none."""
        return int(self.home.status().get("pid", 0))

    def back(self, old: int) -> int:
        """Wait until another firewall answers and every run is attached again; its process."""

        def there() -> int:
            found = self.pid
            with self._lock:
                return found if found not in (0, old) and self._line.alive() else 0

        return until(there, lambda: self.firewall.err)

    def metric(self, name: str, **labels: str) -> float:
        """A metric's value now; 0 if it isn't there."""
        with urllib.request.urlopen(self.home.status()["metrics"], timeout=10) as answer:  # noqa: S310 - loopback
            text = answer.read().decode()
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        for found, value in re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.M):
            if set(found.split(",")) - {""} == wanted:
                return float(value)
        return 0.0

    def close(self) -> None:
        """Hang up."""
        self._over.set()
        self._keeper.join()
        self._line.close()
        for run in self.runs.values():
            for listener in run.listeners:
                listener.close()

    def _keep(self) -> None:
        while not self._over.wait(0.05):
            with self._lock, suppress(ControlError):
                if not self._line.alive():
                    self._attach_again()

    def _attach_again(self) -> None:
        with ExitStack() as until_attached:
            line = until_attached.enter_context(ControlClient(self.home.path / "control.sock"))
            for run in self.runs.values():
                if run.name not in self.refused:
                    self._hand_over(line, run)
            until_attached.pop_all()
        self._line.close()
        self._line = line

    def _hand_over(self, line: ControlClient, run: AttachedRun) -> None:
        try:
            line.attach(run.name, run.listeners)
        except ControlError as error:
            if error.code != "firewall.run_not_live":
                raise
            self.refused[run.name] = error.cause


@contextmanager
def attached(home: Home, *words: str, **options: str) -> Generator[Attached]:
    """A firewall with these words and options (`chain_url=…`), by default with nothing but a stand-in for mail."""
    named = {**NOWHERE, **{f"--{name.replace('_', '-')}": value for name, value in options.items()}}
    rig = Attached(home, [*words, *(word for option in named.items() for word in option)])
    try:
        yield rig
    finally:
        rig.close()
        home.clear()


def site(folder: Path, rules: str) -> list[str]:
    """Options for the pack with rules of the site's own beside it, in `safebox.site.all`."""
    write_site(folder, rules)
    return ["--policies", str(pack_folder()), "--policies", str(folder)]


def write_site(folder: Path, rules: str) -> None:
    """Write, or edit, the site's rules."""
    path = folder / "safebox/site/all/all.rego"
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".new")
    written.write_text(f"package safebox.site.all\n\n{rules}\n")
    written.rename(path)
