"""What a person gets from a release: sdist, a wheel built from it, and that wheel in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.real_parts import ROOT

NEEDED = (
    "safebox/policies/safebox/main/main.rego",
    "safebox/policies/golden/",
    "safebox/policies/schemas/",
    "safebox/policies/data/",
    "safebox/sandbox/seccomp.json",
    "safebox/sandbox/syscalls.json",
    "safebox/firewall/pipeline.py",
    "safebox/agents/__init__.py",
)
"""Files, or folders that may not be empty; what is no Python is the first thing a packaging change loses."""


def _run(*command: str | Path, cwd: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    [sdist] = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=unpacked)
    [built] = folder.glob("*.whl")
    return built


def test_a_wheel_built_from_the_sdist_holds_policies_and_profiles(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert [needed for needed in NEEDED if not any(name.startswith(needed) for name in names)] == []
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"safebox"}
    assert [name for name in names if "test_" in name or "__pycache__" in name] == []


def test_the_wheel_alone_is_a_working_safebox(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    _run(python, "-m", "pip", "install", "--no-deps", "--no-index", "-q", wheel, cwd=tmp_path)
    # Its dependencies, as locked and already installed here; a path file in a path file is not followed, so that this
    # checkout, installed editable, stays out.
    [site] = (tmp_path / "venv/lib").glob("*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = _run(python, "-c", "import safebox.sandbox; print(safebox.sandbox.__file__)", cwd=tmp_path)
    assert where.startswith(str(site))
    assert "Usage" in _run(tmp_path / "venv/bin/safebox", "--help", cwd=tmp_path)
    assert _run(tmp_path / "venv/bin/safebox", "policy", "check", cwd=tmp_path)
