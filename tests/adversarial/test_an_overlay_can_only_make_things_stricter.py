"""An overlay adds noes and moves numbers to the stricter side. Everything else it must say in `relax.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from safebox.firewall.core.decision import Verdict
from safebox.firewall.engines.bundle import Bundle, load_bundle, pack_folder
from safebox.firewall.engines.directions import WORDS
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.engines.validate import examine, validate
from safebox.firewall.errors import PolicyUnavailable
from safebox.firewall.policytools import check
from tests.unit.policy import cases

Tree = dict[str, Any]
DENY = 'deny contains {"code": "site.no", "message": "No."} if not _good\n\n_good if input.action.args.subject == "x"\n'


def overlay(folder: Path, files: dict[str, str], relax: dict[str, str] | None = None) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if relax is not None:
        folder.mkdir(exist_ok=True)
        (folder / "relax.json").write_text(json.dumps(relax))
    return folder


def site(text: str, kind: str = "email") -> dict[str, str]:
    return {f"safebox/site/{kind}/{kind}.rego": f"package safebox.site.{kind}\n\n{text}\n"}


def data(path: str, value: object) -> dict[str, str]:
    return {f"data/{path}/data.json": json.dumps(value)}


def problem(*overlays: Path) -> str | None:
    """What keeps the pack with these overlays from coming into force."""
    try:
        return examine(load_bundle([pack_folder(), *overlays]))
    except PolicyUnavailable as error:
        return error.cause


def refused(path: str, *overlays: Path) -> str:
    """They are refused for exactly this path, the message names file and way out, and naming the path lets them in."""
    found = problem(*overlays)
    assert found is not None
    assert f": {path} would be looser (" in found, found
    assert found.startswith(str(overlays[-1])), found
    assert f"name the path with a reason in {overlays[-1] / 'relax.json'}" in found, found
    return found


LOOSE_RULES = {
    "an allow": (site('allow contains "email.send" if true'), "data.safebox.site.email.allow"),
    "an allow for all": (site('allow contains "x" if true', "all"), "data.safebox.site.all.allow"),
    "an allow as an object": (site('allow["x"] := 1'), "data.safebox.site.email.allow.x"),
    "an allow one level deeper": (
        {"safebox/site/email/allow/allow.rego": "package safebox.site.email.allow\n\nx := 1\n"},
        "data.safebox.site.email.allow.x",
    ),
    "an allow one level higher": (
        {"safebox/site/site.rego": 'package safebox.site\n\nemail := {"allow": {1}}\n'},
        "data.safebox.site.email",
    ),
    "an allow by a dotted name": (
        {"safebox/site/site.rego": 'package safebox.site\n\nemail.allow contains "x" if true\n'},
        "data.safebox.site.email.allow",
    ),
    "a deny that is a value": (site("deny := set()"), "data.safebox.site.email.deny"),
    "a deny that is a function": (site("deny(x) := x"), "data.safebox.site.email.deny"),
    "a deny that is an object": (site('deny["x"] := 1'), "data.safebox.site.email.deny.x"),
    "a deny with a default": (site("default deny := set()"), "data.safebox.site.email.deny"),
    "a hold that is a value": (site("hold := []"), "data.safebox.site.email.hold"),
    "a helper of the pack": (
        {"safebox/transfer/more.rego": "package safebox.transfer\n\n_within_cap if true\n"},
        "data.safebox.transfer._within_cap",
    ),
    "a rule of main": (
        {"x.rego": 'package safebox.main\n\ndecision := {"verdict": "allow"}\n'},
        "data.safebox.main.decision",
    ),
    "another package": ({"other/other.rego": "package other\n\nx := 1\n"}, "data.other.x"),
    "a package in the data": ({"data/x.rego": "package data.limits\n\nrate := {}\n"}, "data.data.limits.rate"),
    "a package twice below data": (
        {"x.rego": "package data.safebox.site.email\n\nx := 1\n"},
        "data.data.safebox.site.email.x",
    ),
    "with": (
        site('deny contains {"code": "site.x", "message": "x"} if data.safebox.email.allow with input as {}'),
        "data.safebox.site.email.deny",
    ),
}


@pytest.mark.parametrize("what", LOOSE_RULES)
def test_a_rule_that_could_allow_is_refused_with_its_file_and_line(what: str, tmp_path: Path) -> None:
    files, path = LOOSE_RULES[what]
    folder = overlay(tmp_path / "ours", files)
    found = refused(path, folder)
    assert str(folder / next(iter(files))) in found
    assert found == validate(load_bundle([pack_folder(), folder]))  # the child says the same


@pytest.mark.parametrize("what", ["an allow", "a helper of the pack", "another package"])
def test_such_a_rule_is_let_in_when_relax_json_names_its_path(what: str, tmp_path: Path) -> None:
    files, path = LOOSE_RULES[what]
    reasons = {path: "it is wanted here"}
    folder = overlay(tmp_path / "ours", files, reasons)
    assert problem(folder) is None
    assert load_bundle([pack_folder(), folder]).relaxed == reasons


def test_denies_and_holds_with_helpers_tests_and_numbers_of_its_own_need_nothing_said(tmp_path: Path) -> None:
    rules = 'hold contains {"code": "site.wait", "message": "Wait."} if input.action.args.cc != []\n\n' + DENY
    files = {
        **site(rules),
        **data("site", {"words": ["x"], "most": 5}),
        "safebox/site/email/email_test.rego": "package safebox.site.email_test\n\nallow := 1\n",
    }
    assert problem(overlay(tmp_path / "ours", files)) is None


def test_every_yes_of_the_pack_with_an_overlay_is_one_without_it(tmp_path: Path) -> None:
    folder = overlay(tmp_path / "ours", {**site(DENY, "all"), **data("limits", {"replication": {"fingerprints": 1}})})
    pack, both = (EmbeddedEngine(load_bundle(layers)) for layers in ([pack_folder()], [pack_folder(), folder]))
    stricter = 0
    for document in questions():
        mine, theirs = both.answer(cases.encode(document)), pack.answer(cases.encode(document))
        assert ORDER[mine.verdict] >= ORDER[theirs.verdict], document
        stricter += ORDER[mine.verdict] > ORDER[theirs.verdict]
    assert stricter > 0


ORDER = {Verdict.ALLOW: 0, Verdict.HOLD: 1, Verdict.DENY: 2}


def questions() -> Iterator[cases.Document]:
    for document in cases.good().values():
        yield document
        for path in cases.paths(document):
            yield cases.changed(document, path, None)


LIMITS = "data.data.limits"
LOOSE_DATA: dict[str, tuple[dict[str, str], str]] = {
    "a number up": (
        data("limits", {"rate": {"denials_in_ten_minutes": 6}}),
        f"{LIMITS}.rate.denials_in_ten_minutes",
    ),
    "a number that is text": (
        data("limits", {"rate": {"denials_in_ten_minutes": "1"}}),
        f"{LIMITS}.rate.denials_in_ten_minutes",
    ),
    "a number that is a yes": (
        data("limits", {"rate": {"denials_in_ten_minutes": True}}),
        f"{LIMITS}.rate.denials_in_ten_minutes",
    ),
    "a number that is null": (
        data("limits", {"rate": {"denials_in_ten_minutes": None}}),
        f"{LIMITS}.rate.denials_in_ten_minutes",
    ),
    "a number that is an object": (
        data("limits", {"rate": {"denials_in_ten_minutes": {}}}),
        f"{LIMITS}.rate.denials_in_ten_minutes",
    ),
    "a whole table taken away": (data("limits", {"rate": []}), f"{LIMITS}.rate"),
    "a number of which nobody declared anything": (data("limits", {"rate": {"new": 1}}), f"{LIMITS}.rate.new"),
    "a table of which nobody declared anything": (data("others", {"x": 1}), "data.data.others"),
    "data beside data": ({"more/data.json": "{}", "data.json": '{"more": {"x": 1}}'}, "data.more"),
    "another asset": (
        data("limits", {"transfer": {"max_fee_per_gas": {"asset": "BTC", "units": "0" * 78}}}),
        f"{LIMITS}.transfer.max_fee_per_gas",
    ),
    "an amount of other digits": (
        data("limits", {"transfer": {"max_fee_per_gas": {"units": "0"}}}),
        f"{LIMITS}.transfer.max_fee_per_gas",
    ),
    "a higher amount": (
        data("limits", {"transfer": {"max_fee_per_gas": {"units": "9" * 78}}}),
        f"{LIMITS}.transfer.max_fee_per_gas",
    ),
    "an origin trusted": (
        data("limits", {"provenance": {"first_seen": {"delivered": "allow"}}}),
        f"{LIMITS}.provenance.first_seen.delivered",
    ),
    "an origin nobody knew, held instead of denied": (
        data("limits", {"provenance": {"first_seen": {"elsewhere": "hold"}}}),
        f"{LIMITS}.provenance.first_seen.elsewhere",
    ),
    "a verdict there is none of": (
        data("limits", {"provenance": {"first_seen": {"task": "maybe"}}}),
        f"{LIMITS}.provenance.first_seen.task",
    ),
    "another kind without an origin": (
        data("limits", {"provenance": {"listed_kinds": ["email", "fax"]}}),
        f"{LIMITS}.provenance.listed_kinds",
    ),
    "another kind of typed data": (
        data("limits", {"approval": {"standards": ["seaport"]}}),
        f"{LIMITS}.approval.standards",
    ),
    "a tunnel to another port": (data("limits", {"web": {"tunnel_ports": [443, 22]}}), f"{LIMITS}.web.tunnel_ports"),
    "a new tool": (
        data("tools", {"my.tool": {"kind": "email", "effects": ["read"], "callers": ["agent"], "after_expiry": True}}),
        'data.data.tools["my.tool"].after_expiry',
    ),
    "a tool for others": (
        data("tools", {"wallet.sweep": {"callers": ["agent"]}}),
        'data.data.tools["wallet.sweep"].callers',
    ),
    "a tool after the mandate's end": (
        data("tools", {"email.send": {"after_expiry": True}}),
        'data.data.tools["email.send"].after_expiry',
    ),
    "fewer people by default": (data("holds", {"default": {"approvals": 0}}), "data.data.holds.default"),
    "a longer life by default": (data("holds", {"default": {"expires_s": 3601}}), "data.data.holds.default.expires_s"),
    "another group by default": (data("holds", {"default": {"group": "me"}}), "data.data.holds.default.group"),
    "another group for a code": (
        data("holds", {"codes": {"site.x": {"group": "me", "approvals": 1, "expires_s": 60}}}),
        'data.data.holds.codes["site.x"].group',
    ),
    "silence instead of people": (
        data("holds", {"codes": {"site.x": {"group": "owners", "challenge_s": 5, "expires_s": 60}}}),
        'data.data.holds.codes["site.x"].approvals',
    ),
    "terms that are none": (
        data("holds", {"codes": {"site.x": {"group": "owners"}}}),
        'data.data.holds.codes["site.x"]',
    ),
    "other directions": (
        data("strict", {"limits": {"rate": {"denials_in_ten_minutes": "higher"}}}),
        "data.data.strict",
    ),
    "other directions and their use": (
        {
            **data("strict", {"limits": {"rate": {"denials_in_ten_minutes": "higher"}}}),
            **data("limits", {"rate": {"denials_in_ten_minutes": 99}}),
        },
        f"{LIMITS}.rate.denials_in_ten_minutes",
    ),
    "a key that looks like a path": (
        data("tools", {"email.send.callers": {"callers": []}}),
        'data.data.tools["email.send.callers"].callers',
    ),
    "a rule of the pack only monitored": (
        data("modes", {"codes": {"email.recipient_not_listed": "monitor"}}),
        'data.data.modes.codes["email.recipient_not_listed"]',
    ),
    "a code of nobody only monitored": (data("modes", {"codes": {"x": "monitor"}}), "data.data.modes.codes.x"),
    "all codes only monitored": (data("modes", {"codes": {"*": "monitor"}}), 'data.data.modes.codes["*"]'),
    "no codes": (data("modes", {"codes": []}), "data.data.modes.codes"),
    "no limit by kind": (
        data("limits", {"rate": {"kinds": {"email": {"hour": None}}}}),
        f"{LIMITS}.rate.kinds.email.hour",
    ),
    "a limit that is none": (
        data("limits", {"rate": {"kinds": {"email": {"hour": "9"}}}}),
        f"{LIMITS}.rate.kinds.email.hour",
    ),
    "a window nobody knows": (
        data("limits", {"rate": {"kinds": {"email": {"week": 1}}}}),
        f"{LIMITS}.rate.kinds.email.week",
    ),
    "hours that are none": (data("hours", {"kinds": {"email": [{"days": ["Monday"]}]}}), "data.data.hours.kinds.email"),
    "hours of another form": (data("hours", {"kinds": {"email": "ever"}}), "data.data.hours.kinds.email"),
    "a freeze that is none": (data("freeze", {"kinds": None}), "data.data.freeze.kinds"),
}


@pytest.mark.parametrize("what", LOOSE_DATA)
def test_data_that_could_allow_more_is_refused_with_its_path_and_let_in_when_that_is_named(
    what: str, tmp_path: Path
) -> None:
    files, path = LOOSE_DATA[what]
    folder = overlay(tmp_path / "ours", files)
    assert refused(path, folder).split(": ")[0].endswith("data.json")
    overlay(folder, {}, {f"{path}x": "a longer path", path.rpartition(".")[0]: "what is above it"})
    refused(path, folder)
    overlay(folder, {}, {path: " "})
    assert "no reason" in (problem(folder) or "")


def test_data_where_rules_stand_is_refused_whatever_relax_json_says(tmp_path: Path) -> None:
    for number, path in enumerate(("safebox", "safebox/site/email", "safebox/main")):
        files = {f"{path}/data.json": json.dumps({"deny": [], "allow": ["x"], "x": 1})}
        folder = overlay(tmp_path / str(number), files, {"data.safebox": "I want it"})
        refused("data.safebox", folder)


OFFICE = [{"days": ["Monday", "Friday"], "from": "08:00", "until": "18:00"}]
STRICT_DATA = {
    "a lower number": data("limits", {"rate": {"denials_in_ten_minutes": 4}}),
    "the same number": data("limits", {"rate": {"denials_in_ten_minutes": 5}}),
    "an origin denied": data("limits", {"provenance": {"first_seen": {"delivered": "deny", "task": "hold"}}}),
    "an origin nobody knew, denied": data("limits", {"provenance": {"first_seen": {"elsewhere": "deny"}}}),
    "no permits but one": data("limits", {"approval": {"standards": ["eip2612"], "valid_s": 60}}),
    "a longer wait": data("limits", {"rate": {"retry_after_s": 61}}),
    "a lower amount": data("limits", {"transfer": {"max_fee_per_gas": {"units": "0" * 78}}}),
    "more people": data("holds", {"default": {"approvals": 2, "expires_s": 60}}),
    "terms of a code": data("holds", {"codes": {"site.x": {"group": "owners", "approvals": 3, "expires_s": 3600}}}),
    "a rule of the pack enforced": data("modes", {"codes": {"email.recipient_not_listed": "enforce"}}),
    "its own rule only monitored": {**site(DENY), **data("modes", {"codes": {"site.no": "monitor"}})},
    "a limit by kind": data("limits", {"rate": {"kinds": {"email": {"hour": 5, "day": 9}}}}),
    "hours": data("hours", {"default": OFFICE, "kinds": {"email": [], "transfer": OFFICE}}),
    "a freeze": data("freeze", {"kinds": ["transfer"]}),
    "nothing": data("limits", {}),
}


@pytest.mark.parametrize("what", STRICT_DATA)
def test_data_that_is_stricter_needs_nothing_said(what: str, tmp_path: Path) -> None:
    assert problem(overlay(tmp_path / "ours", STRICT_DATA[what])) is None


def test_each_layer_is_compared_with_all_below_it_and_not_with_the_pack_alone(tmp_path: Path) -> None:
    one = overlay(tmp_path / "one", data("limits", {"rate": {"denials_in_ten_minutes": 2}}))
    two = overlay(tmp_path / "two", data("limits", {"rate": {"denials_in_ten_minutes": 3}}))
    assert problem(one) is None
    assert problem(two) is None
    assert problem(two, one) is None
    refused(f"{LIMITS}.rate.denials_in_ten_minutes", one, two)


UNDER = {
    **data("hours", {"default": OFFICE}),
    **data("freeze", {"kinds": ["transfer", "email"]}),
    **data("limits", {"rate": {"kinds": {"email": {"hour": 5}}}}),
    **data("modes", {"codes": {"email.not_granted": "enforce", "site.no": "enforce"}}),
    **site(DENY),
}
OVER: dict[str, tuple[dict[str, str], str | None]] = {
    "hours for a kind that had the default's": (
        data("hours", {"kinds": {"email": "always"}}),
        "data.data.hours.kinds.email",
    ),
    "another day": (data("hours", {"default": [{**OFFICE[0], "days": ["Tuesday"]}]}), "data.data.hours.default"),
    "a minute earlier": (data("hours", {"default": [{**OFFICE[0], "from": "07:59"}]}), "data.data.hours.default"),
    "the same hours in two windows": (
        data("hours", {"default": [{**OFFICE[0], "until": "12:00"}, {**OFFICE[0], "from": "12:00"}]}),
        None,
    ),
    "a thaw": (data("freeze", {"kinds": ["transfer"]}), "data.data.freeze.kinds"),
    "another freeze": (data("freeze", {"kinds": ["email", "compute", "transfer"]}), None),
    "a higher limit": (data("limits", {"rate": {"kinds": {"email": {"hour": 6}}}}), f"{LIMITS}.rate.kinds.email.hour"),
    "a limit taken away": (data("limits", {"rate": {"kinds": {"email": None}}}), f"{LIMITS}.rate.kinds.email"),
    "a lower limit": (data("limits", {"rate": {"kinds": {"email": {"hour": 0}}}}), None),
    "a rule below only monitored": (
        data("modes", {"codes": {"site.no": "monitor"}}),
        'data.data.modes.codes["site.no"]',
    ),
}


@pytest.mark.parametrize("what", OVER)
def test_what_an_overlay_tightened_the_next_one_can_not_loosen(what: str, tmp_path: Path) -> None:
    files, path = OVER[what]
    one, two = overlay(tmp_path / "one", UNDER), overlay(tmp_path / "two", files)
    assert problem(one) is None
    if path is None:
        assert problem(one, two) is None
    else:
        refused(path, one, two)


def test_a_layer_relaxes_for_itself_alone(tmp_path: Path) -> None:
    path = f"{LIMITS}.rate.denials_in_ten_minutes"
    one = overlay(tmp_path / "one", {}, {path: "for the other"})
    two = overlay(tmp_path / "two", data("limits", {"rate": {"denials_in_ten_minutes": 9}}))
    refused(path, one, two)


ABOVE = {
    "a helper of it": site("_good if true"),
    "a name it looks for": site("exception if true", "all"),
    "its numbers": data("site", {"words": ["y"]}),
    "numbers it looks for": data("site", {"exceptions": ["y"]}),
}


@pytest.mark.parametrize("what", ABOVE)
def test_a_layer_can_not_loosen_another_overlay(what: str, tmp_path: Path) -> None:
    rules = (
        f'{DENY}\ndeny contains {{"code": "site.b", "message": "B."}} if not _excepted\n\n'
        "_excepted if data.safebox.site.all.exception\n\n"
        "_excepted if input.action.args.subject in data.data.site.exceptions\n\n"
        "_excepted if input.action.args.subject in data.data.site.words\n"
    )
    one = overlay(tmp_path / "one", {**site(rules), **data("site", {"words": ["x"]})})
    two = overlay(tmp_path / "two", ABOVE[what])
    assert problem(one) is None
    assert problem(two) is None
    found = problem(one, two)
    assert found is not None
    assert "would be looser" in found


def test_two_overlays_may_deny_in_the_same_package(tmp_path: Path) -> None:
    one = overlay(tmp_path / "one", site(DENY))
    two = overlay(tmp_path / "two", site(DENY.replace("_good", "_fine")))
    assert problem(one, two) is None


@pytest.mark.parametrize(
    "text",
    ["[]", "{", '{"data.x": 1}', '{"data.x": ""}', '{"data.x": "a\\u001b[31m"}', '"x"', " " * 70_000, "[" * 9_000],
)
def test_a_relax_json_that_is_not_exactly_paths_with_reasons_is_refused(text: str, tmp_path: Path) -> None:
    folder = overlay(tmp_path / "ours", site(DENY))
    (folder / "relax.json").write_text(text)
    found = problem(folder)
    assert found is not None
    assert str(folder / "relax.json") in found


@pytest.mark.parametrize("text", ['{"a\\nb": "x"}', '{"\\ud800": "x"}'])
def test_a_path_that_no_screen_shows_is_refused(text: str, tmp_path: Path) -> None:
    folder = overlay(tmp_path / "ours", site(DENY))
    (folder / "relax.json").write_text(text)
    assert "relax.json" in (problem(folder) or "")


def test_the_base_has_no_relax_json(tmp_path: Path) -> None:
    own = cases.copy_pack(tmp_path)
    (own / "relax.json").write_text('{"data.x": "y"}')
    assert load_bundle([own]).relaxed == {}


def test_the_check_says_everything_at_once_and_names_relaxations_nothing_needs(tmp_path: Path) -> None:
    files = {**data("limits", {"rate": {"denials_in_ten_minutes": 9}}), **site('allow contains "x" if true')}
    folder = overlay(tmp_path / "ours", files, {"data.data.limits.nothing": "an old one"})
    found = {(Path(each.file).name, each.line, each.code) for each in check([pack_folder(), folder])}
    assert ("data.json", 0, "policy.looser") in found
    assert ("email.rego", 3, "policy.looser") in found
    assert ("relax.json", 0, "policy.relax_unused") in found


def test_each_number_of_the_pack_has_a_direction() -> None:
    bundle = load_bundle([pack_folder()])
    tree = json.loads(bundle.data)
    directions = tree["data"]["strict"]
    assert set(leaves(directions)) <= WORDS
    missing = [path for path, _ in undirected(tree["data"], directions)]
    assert missing == []


def leaves(words: Any) -> Iterator[str]:
    for each in words.values():
        yield from leaves(each) if isinstance(each, dict) else [each]


def undirected(values: dict[str, Any], words: dict[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        word = words.get(key, words.get("*"))
        if word is None:
            yield f"{at}{key}", value
        elif isinstance(word, dict):
            assert isinstance(value, dict), f"{at}{key}"
            yield from undirected(cast(Tree, value), cast(Tree, word), f"{at}{key}.")


def test_the_digest_says_nothing_of_layers(tmp_path: Path) -> None:
    folder = overlay(tmp_path / "ours", site(DENY), {"data.x": "never needed"})
    bundle = load_bundle([pack_folder(), folder])
    overlay(folder, {}, {"data.x": "for another reason"})
    again = load_bundle([pack_folder(), folder])
    assert isinstance(bundle, Bundle)
    assert bundle.digest == again.digest
    assert bundle.relaxed != again.relaxed
