"""What lets somebody in somewhere leaves in no mail: the firewall's own keys and passwords, and a run's canary.

Canaries are what SDKs find as their key in a sandbox. Nobody takes them; one that is sent tells that secrets are being
sent.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from safebox.firewall.credentials import canary, credentials
from safebox.firewall.settings import Settings
from tests.attached import Attached, attached
from tests.live import agent_folder, home_at, share_images

NODE_KEY = "k7Jx2mQp9vRt4Ws8Yb3Nc6Ld"
PASSWORD = "correct horse, 9 staples"
COMPUTE_KEY = "rent-0123456789abcdef"
ELSEWHERE = "put-it-there-3f9a"
MANDATE = """
[agent]
name = "clerk"
command = ["python", "main.py"]
image = "safebox/base"
purpose = "Write a letter."
task = "Write to ada."
expires = "5m"
[mail]
recipients = ["ada@a.example"]
per_hour = 50
"""
MAIN = """
import base64, json, os, urllib.error, urllib.request

def write(body):
    asked = {"to": ["ada@a.example"], "subject": "Hello", "body": body}
    request = urllib.request.Request(os.environ["SAFEBOX_URL"] + "/v1/tools/email.send", json.dumps(asked).encode(),
                                     {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=60).read()
        return "sent"
    except urllib.error.HTTPError as error:
        return json.load(error)["error"]["code"]

key = os.environ["OPENAI_API_KEY"]
print(write("The letter you asked for."), flush=True)
for told in (key, base64.b64encode(("It is " + key).encode()).decode(), "See " + key[len(key) // 2:].encode().hex()):
    print(write(told), flush=True)
"""
DISGUISES: dict[str, Callable[[str], str]] = {
    "as it is": lambda value: f"Try {value} instead.",
    "in base64": lambda value: base64.b64encode(f"use {value}".encode()).decode(),
    "in hexadecimal": lambda value: value.encode().hex(),
    "backwards": lambda value: value[::-1],
    "spaced out": " ".join,
}


@pytest.mark.bwrap
def test_an_agent_that_mails_its_sandboxs_key_is_refused(short_path: Path) -> None:
    folder = agent_folder(short_path, "clerk", MANDATE, main=MAIN)
    with home_at(short_path / "h") as home:
        share_images(home.path)
        run = home.start("run", str(folder), "--engine", "bwrap", "--json")
        assert run.end().status == 0
        assert run.run is not None
        said = home.agent_log(run.run).split()
        assert said == ["sent", *["replication.secret_leaves"] * 3]
        assert canary(run.run) not in canary("run_2")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attached]:
    """A firewall that is let in at a node, a provider and a second place for its checkpoints."""
    folder = tmp_path_factory.mktemp("c")
    with (
        patch.dict(os.environ, SAFEBOX_COMPUTE_KEY=COMPUTE_KEY),
        home_at(folder / "h") as home,
        attached(home, chain_url=f"http://127.0.0.1:9/v3/{NODE_KEY}") as made,
    ):
        yield made


@pytest.mark.parametrize("disguise", DISGUISES)
def test_the_firewalls_own_keys_are_found_in_a_mail(rig: Attached, disguise: str) -> None:
    run = rig.start()
    for value in (NODE_KEY, COMPUTE_KEY, canary(run.name)):
        answer = run.mail(DISGUISES[disguise](value))
        assert (answer.status, answer.code) == (403, "replication.secret_leaves"), value
    assert run.mail("What a node answers at /v3/ is public.").status == 200


def test_whatever_lets_the_firewall_in_somewhere_is_known() -> None:
    nowhere = Settings(home=Path("/nowhere"), policies=())
    assert credentials(nowhere) == ()
    known = nowhere._replace(
        model_key="sk-upstream-000000001",
        compute_key=COMPUTE_KEY,
        chain_urls=(f"https://eth.example/v3/{NODE_KEY}", "https://a:short@b.example"),
        smtp_url=f"smtp://me:{PASSWORD.replace(' ', '%20')}@relay.example",
        checkpoint_to=("/var/kept/checkpoints-of-this-machine", f"https://x:{ELSEWHERE}@keep.example/c"),
    )
    found = {each.decode() for each in credentials(known)}
    assert found == {"sk-upstream-000000001", COMPUTE_KEY, NODE_KEY, PASSWORD, ELSEWHERE}
