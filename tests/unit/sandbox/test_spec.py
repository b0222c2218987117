"""A weak or malformed sandbox can't be described."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from safebox.sandbox.errors import SandboxError
from safebox.sandbox.spec import MOST_INPUT_BYTES, Limits, SandboxSpec

GOOD: dict[str, Any] = {"run_id": "run-1", "image": "safebox/base", "command": ("true",)}


def test_the_defaults_make_a_spec() -> None:
    assert SandboxSpec(**GOOD).limits == Limits()


@pytest.mark.parametrize(
    "wrong",
    [
        {"run_id": ""},
        {"run_id": "../x"},
        {"run_id": "x" * 65},
        {"image": "-v"},
        {"image": "a b"},
        {"command": ()},
        {"command": ["true"]},
        {"command": ("",)},
        {"command": ("a\0b",)},
        {"command": ("\udcff",)},
        {"env": {"1X": ""}},
        {"env": {"X=Y": ""}},
        {"env": {"X": "a\0b"}},
        {"env": {"X": "x" * 200_000}},
        {"ports": (80,)},
        {"ports": (8700, 8700)},
        {"ports": (70_000,)},
        {"ports": (True,)},
        {"ports": tuple(range(8000, 8017))},
        {"ports": (8700,), "detached": True},
        {"labels": {"safebox.owner": "me"}},
        {"labels": {"Bad": "x"}},
        {"input": bytes(MOST_INPUT_BYTES + 1)},
        {"folder": Path("/no/such/folder")},
        {"folder": Path("/etc/passwd")},
    ],
)
def test_a_malformed_part_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SandboxError) as caught:
        SandboxSpec(**{**GOOD, **wrong})
    assert caught.value.remedy


@pytest.mark.parametrize("name", Limits._fields)
@pytest.mark.parametrize("value", [0, -1, None, True, "1", 10**30, float("nan"), float("inf")])
def test_no_limit_can_be_switched_off(name: str, value: object) -> None:
    with pytest.raises(SandboxError):
        Limits(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("place", ["/", "/etc", "/proc", "/root", "/home", "/dev", "/run", "/sys"])
def test_a_system_folder_is_no_agents_folder(place: str) -> None:
    with pytest.raises(SandboxError):
        SandboxSpec(**GOOD, folder=Path(place))


def test_a_link_to_a_system_folder_is_no_agents_folder(tmp_path: Path) -> None:
    (tmp_path / "agent").symlink_to("/etc")
    with pytest.raises(SandboxError):
        SandboxSpec(**GOOD, folder=tmp_path / "agent")


def test_the_folder_that_holds_safeboxs_state_is_no_agents_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFEBOX_HOME", str(tmp_path / "state"))
    with pytest.raises(SandboxError):
        SandboxSpec(**GOOD, folder=tmp_path)


def test_a_socket_or_pipe_in_the_folder_is_refused_because_a_read_only_mount_does_not_stop_it(short_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as service:
        service.bind(str(short_path / "service"))
        with pytest.raises(SandboxError):
            SandboxSpec(**GOOD, folder=short_path)
    (short_path / "service").unlink()
    os.mkfifo(short_path / "pipe")
    with pytest.raises(SandboxError):
        SandboxSpec(**GOOD, folder=short_path)


def test_a_spec_does_not_change_with_what_it_was_made_from() -> None:
    env = {"A": "1"}
    spec = SandboxSpec(**GOOD, env=env)
    env["A"] = "2"
    assert spec.env["A"] == "1"
