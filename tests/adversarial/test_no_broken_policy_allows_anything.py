"""A broken policy is refused at load or denied at run time, with words that help; it never allows, and ends nothing."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from safebox.firewall.engines.opa import OpaEngine, OpaPlace
from safebox.firewall.engines.opa_load import load
from safebox.firewall.engines.reload import ReloadingEngine
from safebox.firewall.engines.validate import check
from safebox.firewall.errors import PolicyUnavailable
from tests.attached import UNAVAILABLE, attached, site, write_site
from tests.live import Home, home_at, http, until
from tests.opa import opa_server
from tests.real_parts import require
from tests.unit.policy import cases

NO = '{"code": "site.no", "message": "No."}'
YES = '{"verdict": "allow", "reasons": [], "obligations": {}}'
MAIL = cases.encode(cases.good()["email.send"])
ENDLESS = """
	nine := "999999999"
	long := replace(replace(replace(replace(nine, "9", nine), "9", nine), "9", nine), "9", nine)
	letters := split(long, "")
	some i in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]
	some j in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]
	sort(array.concat(letters, [sprintf("%d %d", [i, j])]))[0] == "none"
"""
Break = Callable[[Path], None]


def main_says(text: str) -> Break:
    return lambda pack: _write(pack / "safebox/main/main.rego", f"package safebox.main\n\n{text}\n")


def extra(text: str) -> Break:
    return lambda pack: _write(pack / "safebox/extra/extra.rego", f"package safebox.extra\n\n{text}\n")


def data(text: str | bytes) -> Break:
    return lambda pack: _write(pack / "data/extra/data.json", text)


def _write(path: Path, text: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def linked_to_itself(pack: Path) -> None:
    (pack / "safebox/main/main.rego").unlink()
    (pack / "safebox/main/main.rego").symlink_to("main.rego")


def a_pipe(pack: Path) -> None:
    (pack / "data/extra").mkdir(parents=True, exist_ok=True)
    os.mkfifo(pack / "data/extra/data.json")


def without_main(pack: Path) -> None:
    (pack / "safebox/main/main.rego").unlink()


REFUSED: dict[str, tuple[Break, str]] = {
    "syntax error": (extra("deny contains {{{"), "safebox/extra/extra.rego:"),
    "no entrypoint": (without_main, "no module has a rule data.safebox.main.decision"),
    "an entrypoint of another name": (main_says(f"answer := {YES}"), "no module has a rule data.safebox.main.decision"),
    "an answer of another shape": (main_says("decision := true"), "wrong shape"),
    "an answer that is half one": (main_says('decision := {"verdict": "deny"}'), "wrong shape"),
    "rules that depend on themselves": (extra("a if b\n\nb if a"), "rules depend on themselves: data.safebox.extra.a"),
    "a rule that goes on for ever": (extra(f"slow if {{{ENDLESS}}}"), ""),
    "a deny that goes on for ever": (main_says(f"decision := {YES} if {{{ENDLESS}}}"), ""),
    "a call to the outside": (extra('a := http.send({"method": "get", "url": "http://x"})'), "http.send calls out"),
    "a function that only OPA knows": (extra('a := crypto.sha256("x")'), "crypto.sha256 is not an allowed function"),
    "allow by default": (main_says(f"default decision := {YES}"), "says allow to"),
    "allow where nothing is granted": (main_says(f"decision := {YES} if input.action.tool"), ""),
    "nothing where a field is missing": (
        main_says(f'decision := {{"verdict": "deny", "reasons": [{NO}], "obligations": {{}}}} if input.mandate.mail'),
        "is undefined",
    ),
    "two minds": (main_says('decision := {"verdict": "deny"}\n\ndecision := {"verdict": "hold"}'), "no usable answer"),
    "deep nesting": (extra("a := " + "[" * 5_000 + "]" * 5_000), ""),
    "deep nesting of calls": (extra("a := " + "1 + " * 20_000 + "1"), ""),
    "text that is no text": (
        lambda pack: _write(pack / "safebox/extra/extra.rego", b"package \xff\xfe"),
        "can't be read",
    ),
    "a file that leads to itself": (linked_to_itself, "can't be read"),
    "a pipe for a file": (a_pipe, "can't be read"),
    "50 MB of data": (data(b'{"a": "' + b"x" * 50_000_000 + b'"}'), "too large"),
    "data with a key twice": (data('{"a": 1, "a": 2}'), "a key is given twice"),
    "data that is not exact": (data('{"a": 0.1}'), "not exact; write whole numbers"),
    "data beyond 2^53": (data('{"a": 9007199254740993}'), "beyond 2^53"),
    "data that is half a letter": (data('{"a": "\\ud800"}'), ""),
    "data that is no object": (data("[]"), "is not a JSON object"),
    "deep data": (data('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"), ""),
    "data two files give": (
        lambda pack: _write(pack / "data/data.json", '{"limits": {"transfer": {"max_fee_per_gas": 1}}}'),
        "is given by another data file too",
    ),
    "data in the way of a rule": (
        lambda pack: _write(pack / "data.json", '{"safebox": {"main": {"decision": 1}}}'),
        "",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_it_is_refused_and_decides_nothing(name: str, tmp_path: Path) -> None:
    damage, words = REFUSED[name]
    pack = cases.copy_pack(tmp_path)
    damage(pack)
    engine = ReloadingEngine([pack])
    await engine.start()
    try:
        answer = await engine.decide(MAIL)
    except PolicyUnavailable:
        assert not engine.health().ready
        assert words in engine.health().detail
        assert len(engine.health().detail) < 1_000
    else:
        assert not words, (answer, "it was to be refused")
        assert name in ("a rule that goes on for ever", "data in the way of a rule"), answer
    finally:
        await engine.stop()


def _many_rules(first: int, rules: int) -> str:
    lines = [f'deny contains {NO} if input.action.args.subject == "{number}"' for number in range(first, first + rules)]
    return "package safebox.site.email\n\n" + "\n\n".join(lines) + "\n"


def test_a_file_with_more_lines_than_the_parser_reads_is_refused_with_a_word_why(tmp_path: Path) -> None:
    pack = cases.copy_pack(tmp_path)
    _write(pack / "safebox/site/email/email.rego", _many_rules(0, 10_000))
    assert "exceeds maximum allowed line count" in (check([pack]).problem or "")


def test_ten_thousand_rules_are_in_force_or_refused_with_a_word_why(tmp_path: Path) -> None:
    pack = cases.copy_pack(tmp_path)
    for part in range(5):
        _write(pack / f"safebox/site/email/part{part}.rego", _many_rules(part * 2_000, 2_000))
    problem = check([pack]).problem
    assert problem is None or "checking the policy ta" in problem or "took longer" in problem, problem


MAKES_PAIRS = """deny contains {"code": "site.pairs", "message": "No."} if {
	letters := split(input.action.args.body, "")
	some a in letters
	some b in letters
	some c in letters
	concat("", [a, b, c]) == "none"
}"""


IN_A_REAL_ONE = (
    "syntax error", "a call to the outside", "rules that depend on themselves", "data that is not exact",
    "data with a key twice", "text that is no text", "a pipe for a file", "50 MB of data",
)  # fmt: skip
"""Edits of a site's own folder that say in words what is wrong."""


@pytest.fixture
def home(short_path: Path) -> Iterator[Home]:
    require("bwrap")
    with home_at(short_path / "h") as made:
        yield made


def test_a_real_firewall_lives_through_all_of_them(home: Home, tmp_path: Path) -> None:
    """One edit after the other while it runs: the last good policy goes on, and the words are where people look."""
    folder = tmp_path / "site"
    with attached(home, *site(folder, f"deny contains {NO} if not input.action.tool")) as firewall:
        run, old = firewall.start(), firewall.pid
        for name in IN_A_REAL_ONE:
            damage, words = REFUSED[name]
            damage(folder)
            until(lambda: firewall.metric("safebox_policy_reload_failing") == 1, lambda: home.status()["policy"])
            assert words in home.status()["policy"], name
            assert run.mail(name).status == 200, name
            for made in (folder / "safebox/extra", folder / "data/extra"):
                for file in made.glob("*"):
                    file.unlink()
            until(lambda: firewall.metric("safebox_policy_reload_failing") == 0, lambda: home.status()["policy"])
        write_site(folder, MAKES_PAIRS)
        bundle = home.status()["bundle"]
        answer = until(lambda: found if (found := run.mail("x" * 2_000)).status != 200 else None, lambda: str(bundle))
        assert (answer.status, answer.code) == (UNAVAILABLE, "firewall.policy_unavailable")
        assert run.mail("short").status == 200
        assert firewall.pid == old, "it never ended"
    home.verified()


@pytest.mark.opa
async def test_on_an_opa_server_what_runs_for_ever_or_has_two_minds_denies() -> None:
    broken = {
        f"decision := {YES} if {{{ENDLESS}}}": ("timeout", "undefined"),
        f"decision := {YES} if true\n\ndecision := {{}} if input.run": ("error",),
        "decision := true": ("shape",),
        f"decision := {YES} if input.nothing": ("undefined",),
    }
    with opa_server() as opa:
        place = OpaPlace(opa.address)
        for text, kinds in broken.items():
            bundle = cases.alone(text)
            await load(place.server, bundle)
            with pytest.raises(PolicyUnavailable) as caught:
                await OpaEngine(place, bundle).decide(MAIL)
            assert caught.value.kind in kinds, text
        await place.close()


@pytest.mark.opa
@pytest.mark.parametrize("unix", [False, True], ids=["port", "socket"])
def test_a_firewall_on_an_opa_server_denies_without_it_and_goes_on_with_it(home: Home, unix: bool) -> None:
    with opa_server(unix=unix) as opa, attached(home, "--opa", opa.address) as firewall:
        run, old = firewall.start(), firewall.pid
        assert f"OPA server at {opa.address}" in home.status()["parts"]["policy"]
        assert f"OPA server at {opa.address}" in firewall.firewall.out
        assert run.mail("one").status == 200
        opa.kill()
        answer = run.mail("two")
        assert (answer.status, answer.code) == (UNAVAILABLE, "firewall.policy_unavailable")
        ready = home.status()["metrics"].removesuffix("/metrics") + "/readyz"
        until(lambda: http(ready).status == UNAVAILABLE, "it says it is ready")
        assert opa.address in json.dumps(http(ready).document)
        until(lambda: firewall.metric("safebox_policy_loaded") == 0, "the metric says there is a policy")
        assert firewall.metric("safebox_engine_errors_total", kind="unreachable") >= 1
        opa.start()
        until(lambda: http(ready).status == 200, lambda: str(home.status()))
        assert run.mail("three").status == 200
        opa.halt()
        assert run.mail("four").status == UNAVAILABLE
        opa.send(signal.SIGCONT)
        until(lambda: run.mail("five").status == 200 or None, lambda: str(home.status()))
        assert firewall.pid == old
        other = home("run", "--opa", "http://127.0.0.1:1", "--engine", "bwrap", "/nowhere")
        assert other.status != 0
    verdicts = [event["answer"]["verdict"] for event in home.events("decided") if event["tool"] == "email.send"]
    assert verdicts[:4] == ["allow", "deny", "allow", "deny"]
    home.verified()
