from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cli.program import Program


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def safebox(home: Path) -> Program:
    return Program(home)
