"""The world the firewall acts on: a chain, a mail relay and a model, each a process that outlives every firewall."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from safebox.firewall.standins.mail import Maildir
from tests.crash.mail_server import describe
from tests.crash.trigger import Trigger
from tests.live import Chain
from tests.real_parts import ROOT

CHAIN_ID: Final = 31337
TREASURY: Final = 10**22
BLOCK_SECONDS: Final = "0.2"
"""So long a payment waits in the node's pool at most."""
MODEL: Final = "scripted:crash"
PLAYBOOK: Final = '[[step]]\nname = "always"\nsay = "Yes."\n'


@contextmanager
def process(command: Sequence[str], log: Path) -> Generator[tuple[subprocess.Popen[str], str]]:
    """A stand-in, or what starts and ends like one: it says its URL first, and ends when its input closes."""
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT
        ) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            yield child, json.loads(child.stdout.readline())["url"]
        finally:
            child.stdin.close()
            child.wait()


@contextmanager
def standin_chain(folder: Path, owner: str) -> Generator[str]:
    """The py-evm chain, which mines at once."""
    words = [sys.executable, "-m", "safebox.firewall.standins.chain", "--state", str(folder / "chain")]
    with process([*words, "--fund", f"{owner}={TREASURY}"], folder / "chain.log") as (_, url):
        yield url


@contextmanager
def anvil(program: str, owner: str) -> Generator[str]:
    """A real node, which mines in steady steps: payments wait in its pool."""
    command = [program, "--port", "0", "--chain-id", str(CHAIN_ID), "--accounts", "1", "--block-time", BLOCK_SECONDS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        try:
            line = next(line for line in child.stdout if "Listening on" in line)
            url = "http://" + line.split()[-1]
            threading.Thread(target=child.stdout.read, daemon=True).start()
            Chain(url).ask("anvil_setBalance", owner, hex(TREASURY))
            yield url
        finally:
            child.kill()
            child.wait()


@contextmanager
def model(folder: Path) -> Generator[str]:
    """The scripted model, which says yes to everything."""
    place = folder / "playbooks" / MODEL.partition(":")[2]
    place.mkdir(parents=True)
    (place / "playbook.toml").write_text(PLAYBOOK)
    words = [sys.executable, "-m", "safebox.firewall.standins.model", "--playbooks", str(folder / "playbooks")]
    with process(words, folder / "model.log") as (_, url):
        yield url


class Mails:
    """What the relay says that it kept, while it says it; `on_disk` is what it did keep."""

    def __init__(self, folder: Path, trigger: Trigger) -> None:
        self.kept: list[dict[str, Any]] = []
        self._folder = folder
        self._trigger = trigger

    def listen(self, relay: subprocess.Popen[str]) -> None:
        """Take in what the relay says, until it ends."""
        assert relay.stdout is not None
        for line in relay.stdout:
            said = json.loads(line)
            if "id" in said:
                self.kept.append(said)
            self._trigger.reached(said["point"])

    def on_disk(self) -> list[dict[str, str]]:
        """Every message in the relay's store."""
        return [describe(path.read_bytes()) for path in (self._folder / "new").iterdir()]


@contextmanager
def relay(folder: Path, trigger: Trigger) -> Generator[tuple[Mails, str]]:
    """The mail relay."""
    store = folder / "maildir"
    Maildir(store)
    mails = Mails(store, trigger)
    words = [sys.executable, "-m", "tests.crash.mail_server", "--state", str(store)]
    with process(words, folder / "mail.log") as (child, url):
        listener = threading.Thread(target=mails.listen, args=(child,))
        listener.start()
        try:
            yield mails, url
        finally:
            assert child.stdin is not None
            child.stdin.close()
            listener.join()
