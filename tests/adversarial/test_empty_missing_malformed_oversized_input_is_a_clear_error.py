"""Empty, missing, malformed and oversized: each mandate, policy folder and request like that is told what is wrong.

Through the real command line and the gateways of a real firewall, which is alive afterwards and has done nothing.
"""

from __future__ import annotations

import shutil
import socket
import time
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from safebox.firewall.control.wire import ControlError
from safebox.firewall.engines.pack import pack_folder
from safebox.firewall.gateways.limits import ETHEREUM_BODY_MAX, INFERENCE_BODY_MAX, TOOLS_BODY_MAX
from tests.live import Answered, Home, agent_folder, home_at, until
from tests.live import http as ask
from tests.real_parts import require

PAYEE = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
MANDATE = f"""
[agent]
name = "tester"
command = ["true"]
purpose = "Send what a firewall must refuse."
task = "Send it."
expires = "1h"
[wallet]
chain = "dev"
budget = "1 ETH"
per_transfer = "0.1 ETH"
[wallet.payees]
acme = "{PAYEE}"
[mail]
recipients = ["a@listed.example"]
per_hour = 20
"""
MAIL = b'{"to":["a@listed.example"],"subject":"s","body":"b"}'
MIB = 1024 * 1024
CONFIG, FOUND = 3, 7


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A state folder for commands that must not get as far as using it."""
    require("bwrap")
    with home_at(tmp_path_factory.mktemp("e") / "h", keys=False) as home:
        yield home


class Live:
    """A firewall with one run, its three gateways in the test's hand."""

    def __init__(self, home: Home, *options: str) -> None:
        self.home = home
        self.firewall = home.serve("--engine", "bwrap", *options)
        self.metrics = f"http://{urlsplit(str(home.status()['metrics'])).netloc}"
        self._open = ExitStack()
        self._line = self._open.enter_context(home.client())
        self.listeners = [self._open.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        self.tools, self.inference, self.ethereum = (
            f"http://127.0.0.1:{listener.getsockname()[1]}" for listener in self.listeners
        )
        if self.at_once:
            self.begin()

    mandate = MANDATE
    at_once = True

    def begin(self) -> None:
        """Start the run and serve its listeners."""
        about = self._line.request("start", mandate=self.mandate, source="safebox.toml", folder=None, engine="none")
        self.run = str(about["run"])
        self._line.attach(self.run, self.listeners)

    def close(self) -> None:
        self._open.close()

    def mail(self) -> Answered:
        return ask(f"{self.tools}/v1/tools/email.send", MAIL)

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"{self.metrics}/metrics", timeout=10) as answer:  # noqa: S310 - loopback
            lines = answer.read().decode().splitlines()
        return next((float(line.split()[-1]) for line in lines if line.split()[0] == name), -1.0)

    def decided(self) -> int:
        return len([event for event in self.home.events("decided") if event["caller"] == "agent"])


class NoRunYet(Live):
    """The same before its run is started."""

    at_once = False


@contextmanager
def live(home: Home, *options: str, kind: type[Live] = Live) -> Generator[Live]:
    made = kind(home, *options)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def home(short_path: Path) -> Iterator[Home]:
    require("bwrap")
    with home_at(short_path / "h") as home:
        yield home


# --- mandates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("run", "{}", "--engine", "bwrap"), ("mandate", "check", "{}")], ids="_".join)
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "it is empty"),
        (None, "safebox.toml"),
        (b"[agent\nname = 1", "safebox.toml:1:"),
        (b"\xff\xfe[agent]", "UTF-8"),
        (b"# " + b"x" * (2 * MIB) + b"\n" + MANDATE.encode(), "bytes"),
        (MANDATE.replace("1 ETH", "1e9 ETH", 1).encode(), "budget"),
    ],
    ids=["empty", "missing", "malformed", "no text", "oversized", "a wrong amount"],
)
def test_a_mandate_that_is_none_is_refused_with_cause_and_remedy(
    shared: Home, tmp_path: Path, command: tuple[str, ...], text: bytes | None, says: str
) -> None:
    folder = agent_folder(tmp_path / "agents", "tester", MANDATE)
    (folder / "safebox.toml").unlink()
    if text is not None:
        (folder / "safebox.toml").write_bytes(text)
    done = shared(*(word.format(folder) for word in command))
    assert done.status == CONFIG, done
    assert "Traceback" not in done.err
    assert says in done.out + done.err, done
    assert "→" in done.err, done
    made = {"ledger.sqlite3", "firewall.log", "trees"} & {path.name for path in shared.path.iterdir()}
    assert made == set()  # nothing was built, started or recorded for it


# --- policies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["missing", "malformed", "oversized"])
def test_policies_that_are_none_are_found_by_policy_check(shared: Home, tmp_path: Path, state: str) -> None:
    folder = policies(tmp_path / "p", state)
    done = shared("policy", "check", str(folder))
    assert done.status in (CONFIG, FOUND), done
    assert "Traceback" not in done.err
    assert (done.out + done.err).strip()


def policies(folder: Path, state: str) -> Path:
    """A folder in one of the wrong states, or the pack."""
    if state == "missing":
        return folder
    if state == "empty":
        folder.mkdir()
        return folder
    shutil.copytree(pack_folder(), folder)
    if state == "malformed":
        spoil(folder)
    if state == "oversized":
        (folder / "safebox/main/main.rego").write_text("package safebox.main\n" + "# x\n" * (8 * MIB // 4))
    return folder


def spoil(folder: Path) -> None:
    (folder / "safebox/email/email.rego").write_text("package safebox.email\n\ndeny contains {{{\n")


@pytest.mark.parametrize("state", ["missing", "malformed"])
def test_without_policy_a_firewall_is_not_ready_and_says_no_until_there_is_one(
    home: Home, tmp_path: Path, state: str
) -> None:
    folder = policies(tmp_path / "p", state)
    with live(home, "--policies", str(folder), kind=NoRunYet) as firewall:
        ready = ask(f"{firewall.metrics}/readyz")
        assert ready.status == 503
        assert "no policy is in force" in ready.document["reasons"][0]
        assert ask(f"{firewall.metrics}/healthz").status == 200
        assert firewall.metric("safebox_policy_loaded") == 0
        with pytest.raises(ControlError) as caught:
            firewall.begin()
        assert caught.value.code == "firewall.policy_unavailable"
        assert home.events("run_started") == home.events("decided") == []
        shutil.rmtree(folder, ignore_errors=True)
        if state == "missing":  # what isn't a pack at the start is an overlay, whatever it becomes
            shutil.copytree(pack_folder(), folder)
            until(lambda: "would be looser" in home.status()["policy"], lambda: home.status()["policy"])
            shutil.rmtree(folder)
            folder.mkdir()
        else:
            shutil.copytree(pack_folder(), folder)
        until(lambda: ask(f"{firewall.metrics}/readyz").status == 200, lambda: home.status()["policy"])
        firewall.begin()
        assert firewall.mail().status == 200
    home.verified()


def test_a_broken_edit_leaves_the_last_good_policy_in_force_and_a_good_one_takes_its_place(
    home: Home, tmp_path: Path
) -> None:
    folder = policies(tmp_path / "p", "whole")
    module = folder / "safebox/email/email.rego"
    good = module.read_text()
    with live(home, "--policies", str(folder)) as firewall:
        bundle = home.status()["bundle"]
        assert firewall.mail().status == 200
        spoil(folder)
        until(lambda: firewall.metric("safebox_policy_reload_failing") == 1, lambda: home.status()["policy"])
        status = home.status()
        assert status["ready"]
        assert status["bundle"] == bundle
        assert "an edit is refused, the last good policy stays in force" in status["policy"]
        assert "the policy was not taken into force" in firewall.firewall.err
        assert firewall.mail().status == 200
        edited = (
            good + '\ndeny contains {"code": "email.closed", "message": "Closed."} if input.action.kind == "email"\n'
        )
        started = time.monotonic()
        module.write_text(edited)
        answer = until(lambda: found if (found := firewall.mail()).status == 403 else None, home.status)
        took = time.monotonic() - started
        print(f"in force after {took:.2f} s")
        assert answer.code == "email.closed"
        assert firewall.metric("safebox_policy_reload_failing") == 0
        assert home.status()["bundle"] != bundle
        shutil.rmtree(folder)
        until(lambda: firewall.metric("safebox_policy_reload_failing") == 1, lambda: home.status()["policy"])
        assert firewall.mail().code == "email.closed"
    home.verified()


# --- requests -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def firewall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    require("bwrap")
    with home_at(tmp_path_factory.mktemp("r") / "h") as home, live(home) as made:
        yield made


TRANSFER = "/v1/tools/wallet.transfer"
BAD_TOOLS = [
    ("empty", TRANSFER, b"", 400, "request.invalid"),
    ("missing arguments", TRANSFER, b"{}", 400, "request.invalid"),
    ("malformed", TRANSFER, b'{"to": ', 400, "request.invalid"),
    ("no UTF-8", TRANSFER, b'{"to": "\xff"}', 400, "request.invalid"),
    ("a list", TRANSFER, b"[]", 400, "request.invalid"),
    (
        "doubled",
        TRANSFER,
        b'{"to":"' + PAYEE.encode() + b'","amount":"1 wei","amount":"1 ETH"}',
        400,
        "request.invalid",
    ),
    ("a float", TRANSFER, b'{"to":"' + PAYEE.encode() + b'","amount":0.1}', 400, "request.invalid"),
    ("negative", TRANSFER, b'{"to":"' + PAYEE.encode() + b'","amount":"-1 wei"}', 400, "request.invalid"),
    ("too much", TRANSFER, b'{"to":"' + PAYEE.encode() + b'","amount":"%d wei"}' % 2**256, 400, "request.invalid"),
    ("oversized", TRANSFER, b" " * (TOOLS_BODY_MAX + 1), 413, "request.too_large"),
    ("no such tool", "/v1/tools/wallet.drain", b"{}", 404, "request.unknown_tool"),
    ("the owner's tool", "/v1/tools/wallet.sweep", b"{}", 404, "request.unknown_tool"),
]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"), [row[1:] for row in BAD_TOOLS], ids=[r[0] for r in BAD_TOOLS]
)
def test_a_wrong_tool_call_is_refused_and_nothing_is_recorded(
    firewall: Live, path: str, body: bytes, status: int, code: str
) -> None:
    before = firewall.decided()
    answer = ask(firewall.tools + path, body)
    assert (answer.status, answer.code) == (status, code), answer
    assert answer.document["error"]["message"]
    assert firewall.decided() == before
    assert ask(firewall.tools + "/healthz").status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{}", 400), (b'{"model":', 400), (b" " * (INFERENCE_BODY_MAX + 1), 413)],
    ids=["empty", "missing", "malformed", "oversized"],
)
def test_a_wrong_inference_is_refused_and_nothing_is_recorded(firewall: Live, body: bytes, status: int) -> None:
    before = firewall.decided()
    answer = ask(firewall.inference + "/v1/chat/completions", body)
    assert answer.status == status, answer
    assert answer.document["error"]["message"]
    assert firewall.decided() == before


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"jsonrpc":', b"[]", b'{"jsonrpc":"2.0","id":1,"method":"eth_sendTransaction","params":[]}',
     b'{"jsonrpc":"2.0","id":1,"method":"eth_signTransaction","params":[]}', b" " * (ETHEREUM_BODY_MAX + 1)],
    ids=["empty", "missing", "malformed", "empty batch", "no transaction", "no such method", "oversized"],
)  # fmt: skip
def test_a_wrong_json_rpc_request_is_refused_and_nothing_is_recorded(firewall: Live, body: bytes) -> None:
    before = firewall.decided()
    answer = ask(firewall.ethereum, body)
    assert answer.document["error"]["message"], answer
    assert "result" not in answer.document
    assert firewall.decided() == before


@pytest.mark.parametrize("key", ["k" * 256, "with space"], ids=["oversized", "malformed"])
def test_a_wrong_idempotency_key_is_refused(firewall: Live, key: str) -> None:
    answer = ask(f"{firewall.tools}/v1/tools/email.send", MAIL, key)
    assert (answer.status, answer.code) == (400, "request.invalid")


def test_after_all_of_it_the_firewall_answers_and_its_ledger_verifies(firewall: Live) -> None:
    assert firewall.mail().status == 200
    assert ask(f"{firewall.metrics}/readyz").status == 200
    assert firewall.firewall.process.poll() is None
    firewall.home.verified()
