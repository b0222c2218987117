"""Leftovers are told from the work of the living, and doubt counts as alive."""

import os
import subprocess

import pytest

from safebox.sandbox.owner import owner_is_dead, owner_mark


def test_this_process_is_alive() -> None:
    assert not owner_is_dead(owner_mark())


def test_a_process_that_ended_is_dead_even_when_its_id_is_taken_again() -> None:
    with subprocess.Popen(["sleep", "30"]) as child:
        mark = owner_mark(child.pid)
        assert not owner_is_dead(mark)
        child.kill()
    assert owner_is_dead(mark)
    pid, start, rest = owner_mark().split("-", 2)
    assert owner_is_dead(f"{pid}-{int(start) + 1}-{rest}")


def test_another_boot_means_dead() -> None:
    pid, start, namespace, _ = owner_mark().split("-", 3)
    assert owner_is_dead(f"{pid}-{start}-{namespace}-another-boot")


@pytest.mark.parametrize("mark", ["", "x", "1-2-3", "-1-2-3-4", "x-1-2-3"])
def test_a_mark_that_cant_be_read_counts_as_alive(mark: str) -> None:
    assert not owner_is_dead(mark)


def test_another_process_namespace_cant_be_judged() -> None:
    pid, start, namespace, boot = owner_mark().split("-", 3)
    assert not owner_is_dead(f"{pid}-{int(start) + 1}-{int(namespace) + 1}-{boot}")
    assert os.getpid() == int(pid)
