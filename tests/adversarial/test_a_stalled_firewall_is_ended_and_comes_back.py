"""Laws 2 and 13: an evaluation that does not come back ends its firewall; the next one knows whose it was, and goes on.

The firewalls are processes of their own under their supervisor. The policy is a good one for all the probes say: it is
slow only over a mail that begins with a certain word.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.attached import LOST, MAILER, NOWHERE, Attached, AttachedRun, attached, letter, site, write_site
from tests.live import Home, agent_folder, halt, home_at, share_images, until
from tests.real_parts import require

POISON = """
deny contains {"code": "site.poison", "message": "This begins badly."} if {
	startswith(input.action.args.body, "poison")
	letters := split(input.action.args.body, "")
	some i in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]
	some j in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]
	sort(array.concat(letters, [sprintf("%d %d", [i, j])]))[0] == "none"
}
"""
"""Four hundred instructions, each over the whole body: far below the machine's limit, and endless all the same."""
ENDLESS = "poison" + "x" * 200_000
SLOW = "poison" + "x" * 20_000
"""Slow enough to be counted on a fast machine, and far from the deadline on one that is four times slower."""


@pytest.fixture
def home(short_path: Path) -> Iterator[Home]:
    require("bwrap")
    with home_at(short_path / "h") as made:
        yield made


@pytest.fixture
def rig(home: Home) -> Iterator[Attached]:
    with attached(home, *site(home.path.parent / "site", POISON)) as made:
        yield made


def is_judging(home: Home) -> bool:
    """Whether there is a mark that something is being judged."""
    return any(path.read_bytes()[:1] == b"\1" for path in (home.path / "judging").iterdir())


def stall(rig: Attached, run: AttachedRun, body: str, key: str) -> int:
    """Have a run stall the firewall; the process of the next one."""
    old = rig.pid
    with pytest.raises(LOST):
        run.call("email.send", letter(body), key)
    return rig.back(old)


def test_a_stalled_firewall_is_ended_and_its_successor_refuses_that_action_only(rig: Attached) -> None:
    guilty, other = rig.start(), rig.start()
    assert other.mail("before").status == 200
    stall(rig, guilty, ENDLESS, "k1")
    again = guilty.call("email.send", letter(ENDLESS), "k1")
    assert (again.status, again.code) == (403, "policy.stalled")
    assert guilty.mail("something else").status == 200
    assert other.mail("after").status == 200
    (event,) = rig.home.events("stalled")
    assert (event["run"], event["tool"], event["how"]) == (guilty.name, "email.send", "it took too long")
    assert rig.metric("safebox_stalls_total") == 1
    assert abs(time.time() - rig.metric("safebox_stall_timestamp_seconds")) < 60
    assert "in _evaluate" in rig.firewall.err, "the log says where it hung"
    assert "by its watchdog" in rig.firewall.err
    rig.home.verified()


def test_a_run_that_stalls_it_again_and_again_is_killed_and_the_others_are_served(rig: Attached) -> None:
    guilty, other = rig.start(), rig.start()
    for number in range(3):
        stall(rig, guilty, ENDLESS + str(number), f"k{number}")
        assert other.mail(f"after {number}").status == 200
    assert rig.refused == {guilty.name: "the run is killed by the watchdog"}
    assert [(event["run"], event["by"]) for event in rig.home.events("run_killed")] == [(guilty.name, "the watchdog")]
    assert [event["run"] for event in rig.home.events("stalled")] == [guilty.name] * 3
    assert rig.metric("safebox_stalls_total") == 3
    assert rig.firewall.process.poll() is None
    rig.home.verified()


def test_what_stalled_one_policy_is_asked_again_of_another(rig: Attached) -> None:
    run = rig.start()
    stall(rig, run, ENDLESS, "k")
    assert run.call("email.send", letter(ENDLESS), "k").code == "policy.stalled"
    write_site(rig.home.path.parent / "site", "")
    until(lambda: run.call("email.send", letter(ENDLESS), "new").status == 200, "the mended policy isn't asked")


def test_slow_evaluations_that_come_back_use_up_an_allowance_and_delay_the_others_no_longer(rig: Attached) -> None:
    slow, other = rig.start(), rig.start()
    answers = [slow.mail(SLOW) for _ in range(40)]
    assert {answer.status for answer in answers} == {200, 429}
    assert answers[-1].code == "policy.slow"
    assert int(answers[-1].headers["retry-after"]) > 0
    assert answers[-1].document["error"]["decision_id"], "it is recorded"
    started = time.monotonic()
    assert slow.mail(SLOW).status == 429
    assert other.mail("hello").status == 200
    assert time.monotonic() - started < 5, "refused without being judged"


def test_kill_9_in_the_middle_of_an_evaluation_blames_nobody(rig: Attached) -> None:
    run = rig.start()
    old = rig.pid
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(run.mail, "poison" + "x" * 25_000)
        until(lambda: is_judging(rig.home), "nothing is judged")
        os.kill(old, signal.SIGKILL)
        assert isinstance(asked.exception(), LOST)
    assert is_judging(rig.home), "the mark of an innocent is left"
    rig.back(old)
    assert not is_judging(rig.home), "and thrown away"
    assert rig.home.events("stalled") == []
    assert run.mail("hello").status == 200


def test_a_firewall_that_was_stopped_for_long_is_not_ended_for_it(rig: Attached) -> None:
    run = rig.start()
    pid = rig.pid
    halt(pid)
    time.sleep(3)
    os.kill(pid, signal.SIGCONT)
    assert run.mail("hello").status == 200
    assert rig.pid == pid


MAILER_OF_ITS_OWN = """
import http.client, json, os, sys, time, urllib.error, urllib.request


def mail(number):
    body = {"to": ["friend@example.org"], "subject": "hello", "body": "poison" + "x" * 200_000 + number}
    url = os.environ["SAFEBOX_URL"] + "/v1/tools/email.send"
    headers = {"Content-Type": "application/json", "Idempotency-Key": number}
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=60):
                return "sent"
        except urllib.error.HTTPError as error:
            return json.load(error)["error"]["code"]
        except (urllib.error.URLError, ConnectionError, http.client.HTTPException):
            time.sleep(0.1)


for number in sys.argv[1:]:
    print(mail(number), flush=True)
"""


@pytest.mark.bwrap
def test_the_launcher_of_a_run_starts_its_firewall_again_until_the_run_is_killed(home: Home, short_path: Path) -> None:
    share_images(home.path)
    folder = agent_folder(short_path, "a", MAILER, mailer=MAILER_OF_ITS_OWN)
    options = [*site(short_path / "site", POISON), *(word for option in NOWHERE.items() for word in option)]
    running = home.start("run", str(folder), *options, "--json", "--", "python", "mailer.py", "1", "2", "3", "4")
    done = running.end(150)
    assert done.status == 5, done
    assert done.err.count("the firewall is gone; starting it again") == 3
    assert "killed by the watchdog" in done.err
    (run,) = home.events("run_started")
    assert len(home.events("stalled")) == 3
    assert home.agent_log(run["run"]).splitlines() == ["policy.stalled"] * 2
    assert [event["by"] for event in home.events("run_killed")] == ["the watchdog"]
    assert home.events("run_ended")
    home.nothing_left()
    home.verified()
