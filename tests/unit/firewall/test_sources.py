"""The texts a run is made of: all of its own files within bounds, nothing that others sent, no link followed."""

import os
from pathlib import Path

import pytest

from safebox.firewall import sources as sources_module
from safebox.firewall.sources import read_sources


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "agent"
    (place / "lib").mkdir(parents=True)
    (place / "main.py").write_text("main")
    (place / "lib" / "tool.py").write_text("tool")
    return place


def test_files_and_texts_are_read_by_name(folder: Path) -> None:
    assert read_sources(folder, {"the task": "Pay.", "empty": ""}) == {
        "the task": b"Pay.",
        "main.py": b"main",
        "lib/tool.py": b"tool",
    }
    assert read_sources(None, {"the task": "Pay."}) == {"the task": b"Pay."}
    assert read_sources(folder / "missing", {}) == {}


def test_what_others_sent_is_no_part_of_the_run(folder: Path) -> None:
    for place in ("inbox", "lib/inbox"):
        (folder / place).mkdir()
        (folder / place / "letter").write_text("from others")
    assert set(read_sources(folder, {}, inbox="inbox")) == {"main.py", "lib/tool.py", "lib/inbox/letter"}
    assert "inbox/letter" in read_sources(folder, {})


def test_caches_and_hidden_folders_are_left_out_and_hidden_files_are_not(folder: Path) -> None:
    for place in (".git", "__pycache__", "lib/__pycache__"):
        (folder / place).mkdir()
        (folder / place / "x").write_text("x")
    (folder / ".env").write_text("KEY=1")
    assert set(read_sources(folder, {})) == {"main.py", "lib/tool.py", ".env"}


def test_links_pipes_and_devices_are_not_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("outside")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    assert set(read_sources(folder, {})) == {"main.py", "lib/tool.py"}


def test_a_file_cannot_take_the_place_of_the_task(folder: Path) -> None:
    (folder / "the task").write_text("nothing to see")
    sources = read_sources(folder, {"the task": "Pay."})
    assert sources["the task"] == b"Pay."
    assert b"nothing to see" in sources.values()


def test_bounds_hold_in_name_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(9):
        (folder / f"{number}").write_text("x" * 10)
    monkeypatch.setattr(sources_module, "FILES_MAX", 4)
    assert list(read_sources(folder, {"the task": "Pay."})) == ["the task", "0", "1", "2"]
    monkeypatch.setattr(sources_module, "FILES_MAX", 100)
    monkeypatch.setattr(sources_module, "TOTAL_BYTES_MAX", 35)
    assert list(read_sources(folder, {})) == ["0", "1", "2"]
    monkeypatch.setattr(sources_module, "TOTAL_BYTES_MAX", 1000)
    monkeypatch.setattr(sources_module, "FILE_BYTES_MAX", 4)
    assert read_sources(folder, {})["0"] == b"xxxx"
