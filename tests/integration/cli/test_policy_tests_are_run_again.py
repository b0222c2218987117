"""`safebox policy test --watch` runs the tests again whenever a file changes, and outlives a broken edit."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from tests.live import Home, home_at, until

RULE = """# METADATA
# title: Of this site
# description: For tests.
package safebox.site.email
"""
TEST = "package safebox.site.email_test\n\ntest_one if {}\n"


def _write(folder: Path, test: str) -> Path:
    file = folder / "safebox/site/email/email_test.rego"
    file.parent.mkdir(parents=True, exist_ok=True)
    (file.parent / "email.rego").write_text(RULE)
    file.write_text(test)
    return file


def test_each_change_is_answered_until_ctrl_c(tmp_path: Path) -> None:
    file = _write(tmp_path / "ours", TEST.format("1 == 1"))
    with home_at(tmp_path / "home", keys=False) as home:
        watching = home.start(
            "policy", "test", str(tmp_path / "ours"), "--run", "site.email_test.test_one", "--watch", "--json"
        )
        (first,) = until(lambda: watching.json()[:1], "it didn't say anything")
        assert (first["ok"], len(first["results"])) == (True, 1)
        file.write_text(TEST.format("1 == 2"))
        second = until(lambda: watching.json()[1:2], watching.err)[0]
        assert second["ok"] is False
        file.write_text("package safebox.site.email_test\n\ntest_one if {")
        third = until(lambda: watching.json()[2:3], watching.err)[0]
        assert "email_test.rego" in third["error"]
        file.write_text(TEST.format("2 == 2"))
        assert until(lambda: watching.json()[3:4], watching.err)[0]["ok"] is True
        _interrupt(home)
        assert watching.end().status == 130


def _interrupt(home: Home) -> None:
    home.started[-1].process.send_signal(signal.SIGINT)


def test_what_it_prints_is_one_document_a_line(tmp_path: Path) -> None:
    _write(tmp_path / "ours", TEST.format("1 == 1"))
    with home_at(tmp_path / "home", keys=False) as home:
        done = home("policy", "test", str(tmp_path / "ours"), "--run", "site.email_test.test_one", "--json")
        assert [json.loads(line)["ok"] for line in done.out.splitlines()] == [True]
