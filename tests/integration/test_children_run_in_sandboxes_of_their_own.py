"""Child runs for real: asked for by an agent in its sandbox, each in a launcher and a sandbox of its own."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from safebox.sandbox.hosting import LOG_NAME
from tests.live import Home, home_at, share_images, until
from tests.real_parts import require

PARENT = """
[agent]
name = "foreman"
command = ["python", "main.py"]
image = "safebox/base"
purpose = "Have two letters written."
task = "Have somebody write to ada and to bob."
expires = "10m"

[mail]
recipients = ["ada@a.example", "bob@b.example"]
per_hour = 10

[lineage]
children = 2
depth = 1
images = ["safebox/base"]
commands = [["python", "child.py"]]
"""
MAIN = '''
import json, os, time, urllib.error, urllib.request

MANDATE = """[agent]
name = "writer"
command = ["python", "child.py"]
image = "safebox/base"
purpose = "Write a letter."
task = "Write to {to}."
expires = "5m"
[mail]
recipients = {recipients}
per_hour = 2
"""

def spawn(to, recipients):
    asked = {"image": "safebox/base", "command": ["python", "child.py"], "input": to,
             "mandate": MANDATE.format(to=to, recipients=json.dumps(recipients))}
    request = urllib.request.Request(os.environ["SAFEBOX_URL"] + "/v1/tools/agent.spawn", json.dumps(asked).encode(),
                                     {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            print("began", json.load(answer)["result"]["state"], flush=True)
    except urllib.error.HTTPError as error:
        print("refused", json.load(error)["error"]["code"], flush=True)

with urllib.request.urlopen(os.environ["SAFEBOX_URL"] + "/v1/tools") as answer:
    print("offered", [tool["name"] for tool in json.load(answer)["tools"] if tool["name"] == "agent.spawn"], flush=True)
spawn("eve@e.example", ["eve@e.example"])
spawn("ada@a.example", ["ada@a.example"])
spawn("bob@b.example", ["bob@b.example"])
spawn("ada@a.example", ["ada@a.example"])
time.sleep(600)
'''
CHILD = """
import json, os, time, urllib.error, urllib.request

def write(to):
    asked = {"to": [to], "subject": "Hello", "body": "A letter from " + os.environ["SAFEBOX_RUN_ID"]}
    request = urllib.request.Request(os.environ["SAFEBOX_URL"] + "/v1/tools/email.send", json.dumps(asked).encode(),
                                     {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=60).read()
        return "sent"
    except urllib.error.HTTPError as error:
        return json.load(error)["error"]["code"]

to = open("/job/input").read()
other = {"ada@a.example": "bob@b.example", "bob@b.example": "ada@a.example"}[to]
print("mine", write(to), "others", write(other), flush=True)
while True:
    time.sleep(0.5)
    try:
        with urllib.request.urlopen(os.environ["SAFEBOX_URL"] + "/healthz", timeout=5) as answer:
            print("served", flush=True)
    except OSError:
        print("unserved", flush=True)
"""


@pytest.fixture(
    params=[pytest.param("bwrap", marks=pytest.mark.bwrap), pytest.param("docker", marks=pytest.mark.docker)]
)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    require(name)
    return name


@pytest.fixture
def home(short_path: Path) -> Iterator[Home]:
    with home_at(short_path / "h") as made:
        share_images(made.path)
        yield made


@pytest.fixture
def folder(short_path: Path) -> Path:
    made = short_path / "foreman"
    made.mkdir()
    made.chmod(0o755)
    for name, text in (("safebox.toml", PARENT), ("main.py", MAIN), ("child.py", CHILD)):
        (made / name).write_text(text)
        (made / name).chmod(0o644)
    return made


def rows(home: Home) -> list[dict[str, Any]]:
    done = home("ps", "--tree", "--json")
    return [json.loads(line) for line in done.out.splitlines()]


def log(home: Home, run: str) -> str:
    try:
        return home.agent_log(run)
    except OSError:
        return ""


def lines(home: Home, run: str, word: str) -> int:
    return log(home, run).splitlines().count(word)


def launched(home: Home) -> list[str]:
    """What the launchers of children showed."""
    return [each.read_text() for each in home.path.glob(f"runs/*/{LOG_NAME}")]


def began(home: Home, folder: Path, engine: str) -> tuple[str, list[str]]:
    """A parent with two children that have done what they were started for; their names."""
    parent = home.start("run", str(folder), "--engine", engine, "--json")
    children = until(
        lambda: (found := [row["run"] for row in rows(home)[1:]])[1:] and found,
        lambda: [parent.err, rows(home), log(home, parent.run or ""), home.events("run_ended"), launched(home)],
        120,
    )
    until(lambda: all("mine" in log(home, each) for each in children), lambda: [log(home, each) for each in children])
    assert parent.run is not None
    return parent.run, children


def test_two_children_do_their_part_and_no_third_begins(home: Home, folder: Path, engine: str) -> None:
    parent, children = began(home, folder, engine)
    until(lambda: log(home, parent).count("\n") >= 5, lambda: log(home, parent))
    assert log(home, parent).splitlines() == [
        "offered ['agent.spawn']",
        "refused lineage.wider",
        "began started",
        "began started",
        "refused lineage.too_many_children",
    ]
    assert [log(home, each).splitlines()[0] for each in children] == ["mine sent others email.recipient_not_listed"] * 2
    assert [(row["run"], row["parent"]) for row in rows(home)] == [
        (parent, None),
        *((each, parent) for each in children),
    ]
    table = home("ps", "--tree").out
    assert all(f"└ {child}" in table for child in children), table
    assert home("kill", parent, "--tree").status == 0
    until(lambda: not rows(home), lambda: rows(home))
    home.nothing_left()
    ends = {event["run"]: event["reason"] for event in home.events("run_ended")}
    assert set(ends) == {parent, *children}
    home.verified()


def test_a_pause_of_the_parent_has_its_children_stand_still_until_it_goes_on(
    home: Home, folder: Path, engine: str
) -> None:
    parent, children = began(home, folder, engine)

    def served() -> list[int]:
        return [lines(home, each, "served") for each in children]

    def moved(before: list[int]) -> list[bool]:
        return [new > old for new, old in zip(served(), before, strict=True)]

    def still() -> bool:
        before = served()
        time.sleep(2)  # four times as long as a child is quiet
        return not any(moved(before))

    assert still() is False
    assert home("pause", parent).status == 0
    until(still, served)
    before = served()
    assert home("resume", parent).status == 0
    until(lambda: all(moved(before)), served)
    assert home("pause", parent).status == 0
    until(still, served)
    assert home("kill", parent).status == 0
    until(lambda: not rows(home), lambda: rows(home))
    home.nothing_left()


def test_children_go_on_under_the_next_firewall_and_end_with_their_parent(
    home: Home, folder: Path, engine: str
) -> None:
    parent, children = began(home, folder, engine)
    before = home.status()["pid"]
    os.kill(before, signal.SIGKILL)
    until(lambda: home.status().get("pid") not in (None, before), "no firewall came back")
    served = [lines(home, each, "served") for each in children]
    until(
        lambda: all(lines(home, each, "served") > old for each, old in zip(children, served, strict=True)),
        lambda: [log(home, each)[-300:] for each in children],
    )
    assert len(home.events("run_started")) == 3, "nothing began twice"
    os.kill(next(each for each in home.started if each.run == parent).process.pid, signal.SIGINT)
    until(lambda: len(home.events("run_ended")) == 3, lambda: home.events("run_ended"))
    home.nothing_left()
