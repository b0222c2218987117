"""One list of system calls, two forms: both say the same."""

import json
import struct
from pathlib import Path

import pytest

from safebox.sandbox import seccomp
from safebox.sandbox.errors import SandboxError

KILL, ALLOW, EPERM, ENOSYS = 0x80000000, 0x7FFF0000, 0x00050001, 0x00050026
ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
TABLES: dict[str, dict[str, int]] = json.loads(Path(seccomp.__file__).with_name("syscalls.json").read_text())


def judge(machine: str, number: int, *arguments: int, arch: int | None = None) -> int:
    """Run the filter as the kernel does (the opcodes it uses), and return its verdict."""
    words = [number, ARCHES[machine] if arch is None else arch, 0, 0]
    for each in (*arguments, *[0] * (6 - len(arguments))):
        words += [each & 0xFFFFFFFF, each >> 32]
    data = struct.pack("=16I", *words)
    steps = list(struct.iter_unpack("=HBBI", seccomp.bpf_filter(machine)))
    at = accumulator = 0
    while True:
        code, when_true, when_false, value = steps[at]
        at += 1
        if code == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        elif code == 0x54:
            accumulator &= value
        elif code == 0x06:
            return int(value)
        else:
            holds = {0x15: accumulator == value, 0x25: accumulator > value, 0x35: accumulator >= value}[code]
            at += when_true if holds else when_false


@pytest.mark.parametrize("machine", sorted(ARCHES))
def test_the_filter_allows_exactly_the_list_for_every_number(machine: str) -> None:
    names = {number: name for name, number in TABLES[machine].items()}
    judged = {name for name, _ in seccomp.RULES}
    for number in range(600):
        name = names.get(number)
        if name in judged:
            continue
        expected = ALLOW if name in seccomp.ALLOWED else ENOSYS if name == "clone3" or number > max(names) else EPERM
        assert judge(machine, number) == expected, (name, number)


@pytest.mark.parametrize("machine", sorted(ARCHES))
def test_arguments_decide_for_sockets_clone_and_personality(machine: str) -> None:
    number = TABLES[machine]
    for family in range(50):
        for kind in range(12):
            plain = family in {1, 2, 10} and (kind in {1, 2} or (family == 1 and kind == 5))
            expected = ALLOW if plain or family == 16 else EPERM
            assert judge(machine, number["socket"], family, kind | 0o2000000, 0) == expected, (family, kind)
    assert judge(machine, number["socket"], 16, 3, 12) == EPERM
    assert judge(machine, number["socketpair"], 1, 1, 0) == ALLOW
    assert judge(machine, number["socketpair"], 2, 1, 0) == EPERM
    assert judge(machine, number["clone"], 0x003D0F00) == ALLOW
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert judge(machine, number["clone"], 0x003D0F00 | flag) == EPERM
    assert judge(machine, number["personality"], 0xFFFFFFFF) == ALLOW
    assert judge(machine, number["personality"], 0x0040000) == EPERM


def test_another_architecture_is_killed_and_x32_is_unknown() -> None:
    assert judge("x86_64", 20, arch=0x40000003) == KILL
    assert judge("x86_64", 0x40000000 | 1) == ENOSYS


def test_no_filter_is_made_for_a_machine_without_a_table() -> None:
    with pytest.raises(SandboxError):
        seccomp.bpf_filter("riscv64")


def test_the_shipped_profile_is_the_generated_one() -> None:
    shipped = Path(seccomp.__file__).with_name("seccomp.json").read_text()
    assert shipped == seccomp.docker_profile()


def test_the_profile_allows_the_same_names() -> None:
    profile = json.loads(seccomp.docker_profile())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    free = [each["names"] for each in profile["syscalls"] if each["action"] == "SCMP_ACT_ALLOW" and "args" not in each]
    assert [set(names) for names in free] == [seccomp.ALLOWED]


def test_what_the_list_leaves_out_on_purpose_stays_out() -> None:
    never = (
        "io_uring_setup unshare setns mount bpf ptrace keyctl userfaultfd memfd_create kexec_load init_module chroot"
    )
    assert not seccomp.ALLOWED.intersection(never.split())
