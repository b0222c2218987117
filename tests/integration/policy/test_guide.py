"""What the guide shows works as it is written there."""

from __future__ import annotations

import re
from pathlib import Path

from safebox.firewall.engines.bundle import pack_folder
from safebox.firewall.policytools import check, run_tests


def test_the_guides_rule_and_test_pass_check_and_test(tmp_path: Path) -> None:
    rule, test = re.findall(r"```rego\n(.*?)```", (pack_folder() / "README.md").read_text(), re.DOTALL)
    folder = tmp_path / "safebox/site/email"
    folder.mkdir(parents=True)
    (folder / "email.rego").write_text(rule)
    (folder / "email_test.rego").write_text(test)
    assert check([pack_folder(), tmp_path]) == []
    report = run_tests([pack_folder(), tmp_path], run="safebox.site", coverage=True)
    assert (report.passed, report.failed) == (2, ())
    assert report.coverage is not None
    assert str(folder / "email.rego") not in report.coverage.uncovered
