"""A changed policy that loops, breaks or ends its process while it judges the past: that is said, and it fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safebox.firewall.engines.bundle import Bundle, Module, load_bundle, pack_folder
from safebox.firewall.errors import PolicyUnavailable
from safebox.firewall.policytools import judges
from safebox.firewall.policytools.evaluate import evaluate
from safebox.firewall.policytools.explain import explain
from safebox.firewall.policytools.judging import Chosen, Job
from safebox.firewall.policytools.replay import replay
from tests import recordings
from tests.live import halt
from tests.unit.policy import cases

MARK = "Bills"
"""What the subject of the fixtures' mail is; no probe of a bundle has one."""


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("l") / "ledger.sqlite3"
    start = recordings.started("run_1", recordings.mail())
    judged = recordings.Judged()
    documents = (recordings.mail(), recordings.mail(listed=False), recordings.payment(5, None))
    recordings.append(path, [start, *(judged.event(n, "run_1", each, start) for n, each in enumerate(documents))])
    return path


def _bundle(kind: str) -> Bundle:
    """The pack with something more that breaks where the mail of the fixtures is judged, and nowhere else."""
    here = f'input.action.args.subject == "{MARK}"'
    if kind == "another shape":
        pack = load_bundle([pack_folder()])
        more = Module(
            "safebox/main/more.rego", f'package safebox.main\n\ndecision := {{"verdict": "allow"}} if {here}\n'
        )
        return cases.bundle_of(pack.data, *pack.modules, more)
    steps = "count([1 | some a in _many; some b in _many; some c in _many; a + b != c]) > 0"
    rule = f'deny contains {{"code": "site.x", "message": "No."}} if {{\n\t{here}\n\t{steps}\n}}'
    return cases.with_site(f"_many := {json.dumps(list(range(60)))}\n\n{rule}", kind="email")


@pytest.mark.parametrize("kind", ["another shape", "too many steps"])
def test_no_answer_is_counted_as_none_and_never_as_a_yes(ledger: Path, kind: str) -> None:
    report = replay(ledger, _bundle(kind))
    assert report.counts["newly_allowed"] == 0
    assert report.counts["unanswered"] == 2
    assert [change.after for change in report.changes] == [None, None]
    assert all(change.why for change in report.changes)
    (told,) = evaluate(_bundle(kind), [cases.encode(recordings.mail())])
    assert told.answer is None
    assert told.why
    with pytest.raises(PolicyUnavailable):
        explain(_bundle(kind), cases.encode(recordings.mail()))


@pytest.mark.parametrize(
    "text",
    [
        'default decision := {"verdict": "allow", "reasons": [], "obligations": {}}',
        "decision := decision",
        "decision := {",
        'decision := http.send({"method": "get", "url": "http://127.0.0.1:9"})',
        "decision := time.now_ns()",
    ],
)
def test_what_would_not_come_into_force_judges_nothing(ledger: Path, text: str) -> None:
    with pytest.raises(PolicyUnavailable, match="would not come into force"):
        replay(ledger, cases.alone(text))
    with pytest.raises(PolicyUnavailable, match="would not come into force"):
        evaluate(cases.alone(text), [b"{}"])


def test_a_policy_that_ends_the_process_ends_only_the_child(ledger: Path) -> None:
    loop = cases.alone("decision := f(input)\n\nf(x) := f(x)")  # what validation would have found
    with (
        judges.Judges(Job(str(ledger), loop.encode(), None, Chosen()), 1) as children,
        pytest.raises(PolicyUnavailable),
    ):
        list(children.through(iter([(1, 4, [1])])))


def test_a_policy_that_does_not_come_back_is_ended(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "STRETCH_SECONDS", 0.1)
    job = Job(str(ledger), load_bundle([pack_folder()]).encode(), None, Chosen())
    with judges.Judges(job, 1) as children:
        pid = children.children[0].pid
        halt(pid)  # as still as one that computes for ever
        with pytest.raises(PolicyUnavailable, match="records 1 to 4 took longer"):
            list(children.through(iter([(1, 4, [1])])))
    assert not Path(f"/proc/{pid}").exists()
