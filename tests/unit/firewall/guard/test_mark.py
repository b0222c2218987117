"""The mark of what is being judged: it outlives its process, and nothing that others put there blames anybody."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from safebox.firewall.errors import FirewallError
from safebox.firewall.guard.mark import FOLDER, TRACEBACK_AT, Judged, Mark, remains
from tests.real_parts import ROOT, require_root
from tests.unit.firewall.guard.judged import ACTION, BUNDLE

WHOSE = Judged(ACTION.run, ACTION.id, ACTION.tool, ACTION.digest, BUNDLE)


def left_by(home: Path, *, traceback: bytes = b"", inside: bool = True) -> Path:
    """The file of a firewall that is gone."""
    mark = Mark.open(home)
    judging = mark.over(ACTION, BUNDLE)
    if not inside:
        with judging:
            pass
    os.write(mark.handle, traceback)
    content = mark.path.read_bytes()
    mark.close()
    mark.path.write_bytes(content)
    return mark.path


def test_a_firewall_that_is_gone_left_word_of_what_it_was_judging(tmp_path: Path) -> None:
    path = left_by(tmp_path, traceback=b"Current thread")
    assert list(remains(tmp_path)) == [(path, WHOSE, "Current thread")]


def test_what_was_judged_to_its_end_is_not_named(tmp_path: Path) -> None:
    path = left_by(tmp_path, traceback=b"Current thread", inside=False)
    assert list(remains(tmp_path)) == [(path, None, "Current thread")]


def test_an_exception_out_of_a_judgement_takes_its_mark_along(tmp_path: Path) -> None:
    mark = Mark.open(tmp_path)
    with pytest.raises(KeyboardInterrupt), mark.over(ACTION, BUNDLE):
        raise KeyboardInterrupt
    assert mark.path.read_bytes()[:1] == b"\0"
    mark.close()


def test_a_clean_end_leaves_nothing(tmp_path: Path) -> None:
    mark = Mark.open(tmp_path)
    mark.over(ACTION, BUNDLE)
    mark.close()
    assert list(remains(tmp_path)) == []


def test_the_mark_of_a_firewall_that_lives_is_its_own(tmp_path: Path) -> None:
    mark = Mark.open(tmp_path)
    mark.over(ACTION, BUNDLE)
    program = "import sys; from pathlib import Path; from safebox.firewall.guard.mark import remains"
    program += "; print(list(remains(Path(sys.argv[1]))))"
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout == b"[]\n"
    mark.close()


def _garbage(path: Path) -> None:
    path.write_bytes(os.urandom(100_000))


def _shifted(path: Path) -> None:
    path.write_bytes(b"\1" + path.read_bytes())


def _other_run(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"run_", b"../_"))


def _no_mark(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _behind_a_link(path: Path) -> None:
    real = path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(real)


def _with_two_names(path: Path) -> None:
    os.link(path, path.parent.parent / "elsewhere")


def _a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _a_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(path.parent)
        made.bind(path.name)


CHANGES = (
    _garbage, _shifted, _other_run, _no_mark, _cut, _behind_a_link, _with_two_names, _a_pipe, _a_folder, _a_socket
)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_not_exactly_a_mark_names_nobody(
    tmp_path: Path, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = left_by(tmp_path, traceback=b"Current thread")
    change(path)
    assert [judged for _, judged, traceback in remains(tmp_path) if traceback] in ([], [None])


def test_a_mark_of_another_user_names_nobody(tmp_path: Path) -> None:
    require_root("gives files away")
    path = left_by(tmp_path, traceback=b"Current thread")
    os.chown(path, 12_345, 12_345)
    assert list(remains(tmp_path)) == [(path, None, "")]


def test_no_mark_is_kept_in_somebody_elses_folder(tmp_path: Path) -> None:
    require_root("gives files away")
    folder = tmp_path / FOLDER
    folder.mkdir()
    os.chown(folder, 12_345, 12_345)
    with pytest.raises(FirewallError, match="not a folder of this user"):
        Mark.open(tmp_path)
    assert list(remains(tmp_path)) == []


@pytest.mark.parametrize("place", ["file", "link"])
def test_no_mark_is_kept_where_the_folder_is_none(tmp_path: Path, place: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    if place == "file":
        (tmp_path / FOLDER).write_text("")
    else:
        (tmp_path / FOLDER).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FirewallError):
        Mark.open(tmp_path)


def test_a_folder_others_could_write_to_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir(mode=0o777)
    (tmp_path / FOLDER).chmod(0o777)
    Mark.open(tmp_path).close()
    assert (tmp_path / FOLDER).stat().st_mode & 0o777 == 0o700


def test_room_for_the_traceback_is_there_before_it_is_needed(tmp_path: Path) -> None:
    mark = Mark.open(tmp_path)
    assert mark.path.stat().st_blocks * 512 > TRACEBACK_AT
    mark.close()
