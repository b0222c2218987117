"""What every sandbox engine promises, tried on the real ones."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from safebox.sandbox.engines import Sandbox
from safebox.sandbox.errors import SandboxError
from safebox.sandbox.spec import MIB, Limits, SandboxSpec
from tests.contracts.conftest import Bench, finish
from tests.real_parts import require

SMALL = Limits(
    memory_bytes=128 * MIB, pids=40, work_bytes=8 * MIB, work_inodes=200, file_bytes=4 * MIB, wall_seconds=60
)


# --- a command runs ---


def test_a_command_runs_and_its_exit_code_and_both_streams_arrive(bench: Bench) -> None:
    ended, text = bench.run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (ended.code, ended.reason) == (7, "exited")
    assert sorted(text.split()) == ["err", "out"]


def test_a_signal_that_ends_the_command_is_128_and_its_number(bench: Bench) -> None:
    ended, _ = bench.run("sh", "-c", "kill -SEGV $$")
    assert (ended.code, ended.reason) == (139, "exited")


def test_a_command_that_does_not_exist_is_told_as_failed_to_start(bench: Bench) -> None:
    ended, _ = bench.run("no-such-program")
    assert ended.reason == "failed_to_start"
    assert "no-such-program" in ended.detail


def test_an_image_that_does_not_exist_is_refused_with_the_command_to_run(bench: Bench) -> None:
    with pytest.raises(SandboxError) as caught:
        bench.engine.create(SandboxSpec("r", "safebox/nothing", ("true",)))
    assert "safebox image build" in caught.value.remedy


def test_the_agents_folder_is_the_working_directory_and_its_program_runs(bench: Bench, folder: Path) -> None:
    ended, text = bench.run("python3", "main.py", folder=folder)
    assert (ended.code, text) == (0, "hello from the agent\n")


def test_the_environment_is_exactly_what_was_given_and_nothing_of_the_hosts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST_SECRET", "do-not-leak")
    _, text = bench.run("env", env={"GREETING": "hello world", "HOME": "/tmp"})
    names = {line.partition("=")[0] for line in text.splitlines()}
    assert names <= {"PATH", "LANG", "PYTHONUNBUFFERED", "HOME", "TMPDIR", "USER", "GREETING", "HOSTNAME", "PWD"}
    assert "GREETING=hello world" in text
    assert "HOME=/tmp\n" in text


def test_output_arrives_while_the_command_still_runs(bench: Bench) -> None:
    first = threading.Event()
    with bench.engine.create(bench.spec("sh", "-c", "echo early; sleep 30")) as sandbox:
        sandbox.start(lambda _: first.set())
        assert first.wait(10)
        with pytest.raises(TimeoutError):
            sandbox.wait(0.05)


def test_what_agents_are_written_with_can_be_imported(bench: Bench) -> None:
    modules = "import web3, openai, langchain.agents, requests, safebox.agents, ssl, sqlite3, ctypes; print('ok')"
    ended, text = bench.run("python3", "-c", modules, timeout=120)
    assert (ended.code, text) == (0, "ok\n")


def test_nothing_of_the_firewall_is_in_the_image(bench: Bench) -> None:
    ended, text = bench.run("python3", "-c", "import safebox.firewall")
    assert ended.code == 1
    assert "No module named 'safebox.firewall'" in text


def test_input_is_readable_at_job_input_and_not_writable(bench: Bench) -> None:
    ended, text = bench.run("sh", "-c", "cat /job/input; echo x > /job/input", input=b"a job\n")
    assert "a job\n" in text
    assert ended.code != 0


# --- what can be written ---


@pytest.mark.parametrize("place", ["/", "/etc", "/usr/bin", "/agent", "/job", "/dev", "/proc", "/root", "/run"])
def test_nothing_can_be_written_outside_the_tmpfs_folders(bench: Bench, folder: Path, place: str) -> None:
    folder.chmod(0o777)
    ended, _ = bench.run("sh", "-c", f"echo x > {place}/new-file", folder=folder)
    assert ended.code != 0
    assert not (folder / "new-file").exists()


def test_files_of_the_agents_folder_cant_be_changed_or_removed(bench: Bench, folder: Path) -> None:
    (folder / "main.py").chmod(0o666)
    folder.chmod(0o777)
    ended, _ = bench.run("sh", "-c", "echo x >> main.py || rm -f main.py || chmod 777 main.py", folder=folder)
    assert ended.code != 0
    assert (folder / "main.py").read_text() == "print('hello from the agent')\n"


@pytest.mark.parametrize("place", ["/work", "/tmp"])
def test_tmpfs_folders_are_writable_and_bounded_in_bytes(bench: Bench, place: str) -> None:
    program = f"""
        import errno
        total = 0
        try:
            for name in range(100):
                with open(f"{place}/{{name}}", "wb", buffering=0) as file:
                    total += file.write(bytes(1 << 20))
        except OSError as error:
            print(errno.errorcode[error.errno], total >> 20)
    """
    _, text = bench.python(textwrap.dedent(program), limits=SMALL)
    name, mebibytes = text.split()
    assert name == "ENOSPC"
    assert int(mebibytes) <= 8


@pytest.mark.parametrize("place", ["/work", "/tmp"])
def test_tmpfs_folders_are_bounded_in_files(bench: Bench, place: str) -> None:
    program = f"""
        import errno
        try:
            for name in range(1000):
                open(f"{place}/{{name}}", "w").close()
        except OSError as error:
            print(errno.errorcode[error.errno], name)
    """
    _, text = bench.python(textwrap.dedent(program), limits=SMALL)
    name, files = text.split()
    assert name == "ENOSPC"
    assert int(files) <= 200


def test_one_file_is_bounded_in_bytes(bench: Bench) -> None:
    program = """
        import errno, os
        big = os.path.expanduser("~/big")
        try:
            open(big, "wb", buffering=0).write(bytes(6 << 20)) == 6 << 20 or open(big, "ab").write(b"x")
        except OSError as error:
            print(errno.errorcode[error.errno])
        print(os.path.getsize(big) >> 20)
    """
    _, text = bench.python(textwrap.dedent(program), limits=SMALL)
    assert int(text.split()[-1]) <= 4


def test_descriptors_are_bounded_and_only_three_are_open_at_the_start(bench: Bench) -> None:
    program = "import os; print(len(os.listdir('/proc/self/fd')) - 1, os.sysconf('SC_OPEN_MAX'))"
    _, text = bench.python(program, limits=SMALL)
    assert text.split() == ["3", "1024"]


# --- privileges ---


def test_the_agent_is_nobody_without_capabilities_and_cant_get_any(bench: Bench) -> None:
    _, text = bench.run("sh", "-c", "id -u; id -g; id -G; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status")
    assert text.split()[:3] == ["65534", "65534", "65534"]
    facts = dict(line.split(":\t") for line in text.splitlines()[3:])
    assert {name: facts[name] for name in facts if name.startswith("Cap")} == dict.fromkeys(
        ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16
    )
    assert facts["NoNewPrivs"] == "1"
    assert facts["Seccomp"] == "2"


def test_the_host_name_says_nothing_of_the_host(bench: Bench) -> None:
    assert bench.run("hostname")[1] == "sandbox\n"


# --- limits end the run, never the host, and the reason is told ---


def test_a_fork_bomb_ends_the_run_only(bench: Bench) -> None:
    program = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"
    ended, _ = bench.python(program, limits=SMALL)
    assert ended.reason == "pids_limit"


def test_a_memory_bomb_ends_the_run_only(bench: Bench) -> None:
    ended, _ = bench.python("kept = []\nwhile True: kept.append(bytearray(1 << 20))", limits=SMALL)
    assert ended.reason == "out_of_memory"


def test_an_endless_print_ends_the_run_and_only_the_limit_is_delivered(bench: Bench) -> None:
    limits = Limits(log_bytes=100_000, wall_seconds=60)
    ended, text = bench.run("yes", limits=limits)
    assert ended.reason == "log_limit"
    assert len(text) == 100_000


def test_a_run_past_its_time_is_ended(bench: Bench) -> None:
    began = time.monotonic()
    ended, _ = bench.run("sleep", "60", limits=Limits(wall_seconds=1))
    assert ended.reason == "timeout"
    assert time.monotonic() - began < 20


def test_busy_loops_get_no_more_than_their_share_of_the_cpu(bench: Bench) -> None:
    program = """
        import os, time
        for _ in range(3):
            if os.fork() == 0: break
        end = time.monotonic() + 2
        while time.monotonic() < end: pass
        print(sum(os.times()[:2]))
    """
    _, text = bench.python(textwrap.dedent(program), limits=Limits(cpus=0.5, wall_seconds=60))
    assert sum(map(float, text.split())) < 1.9  # four loops of two seconds on half a core: 1.0, and some slack


def test_everything_dies_with_the_command_and_nothing_survives_in_the_background(bench: Bench) -> None:
    program = """
        import os, time
        if os.fork() == 0:
            os.setsid(); os.close(0); os.close(1); os.close(2)
            time.sleep(60)
    """
    began = time.monotonic()
    with bench.engine.create(bench.spec("python3", "-c", textwrap.dedent(program))) as sandbox:
        assert finish(sandbox)[0].reason == "exited"
        assert time.monotonic() - began < 20
    assert not [line for line in ps() if "time.sleep(60)" in line]


def ps() -> list[str]:
    """The command lines of all processes of the host."""
    lines: list[str] = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(each.read_text(errors="replace"))
    return [line for line in lines if "import os, time" in line and "pytest" not in line]


# --- control ---


def test_kill_ends_every_process_at_once(bench: Bench) -> None:
    with bench.engine.create(bench.spec("sh", "-c", "sleep 50 & sleep 50")) as sandbox:
        sandbox.start(lambda _: None)
        time.sleep(0.3)
        sandbox.kill()
        ended = sandbox.wait(10)
        sandbox.kill()
    assert (ended.code, ended.reason) == (137, "killed")


def test_a_paused_run_makes_no_progress_and_goes_on_after_resume(bench: Bench) -> None:
    lines: list[bytes] = []
    with bench.engine.create(bench.spec("sh", "-c", "while true; do echo tick; sleep 0.02; done")) as sandbox:
        sandbox.start(lines.append)
        time.sleep(0.4)
        sandbox.pause()
        time.sleep(0.1)
        before = len(lines)
        time.sleep(0.4)
        assert len(lines) == before
        sandbox.resume()
        time.sleep(0.4)
        assert len(lines) > before


def test_a_paused_run_can_be_killed(bench: Bench) -> None:
    with bench.engine.create(bench.spec("sleep", "50")) as sandbox:
        sandbox.start(lambda _: None)
        sandbox.pause()
        sandbox.kill()
        assert sandbox.wait(10).reason == "killed"


def test_a_sandbox_that_never_started_is_removed_and_twice_is_fine(bench: Bench) -> None:
    sandbox = bench.engine.create(bench.spec("true", ports=(8700,)))
    sandbox.remove()
    sandbox.remove()


# --- the way to the firewall, and no other ---


def serve_echo(listener: socket.socket, answer: bytes = b"") -> threading.Thread:
    """Answer each connection once, in upper case."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(answer or connection.recv(100).upper())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def shut(sandbox: Sandbox) -> None:
    """Let the accepting threads go."""
    for each in sandbox.listeners:
        each.shutdown(socket.SHUT_RDWR)


def test_each_listener_is_reachable_inside_at_its_own_port(bench: Bench) -> None:
    program = """
        import socket
        for port in (8700, 8545):
            with socket.create_connection(("localhost", port), 5) as c:
                c.sendall(b"hello"); print(port, c.recv(100).decode())
    """
    with bench.engine.create(bench.spec("python3", "-c", textwrap.dedent(program), ports=(8700, 8545))) as sandbox:
        serve_echo(sandbox.listeners[0])
        serve_echo(sandbox.listeners[1], b"second")
        _, text = finish(sandbox)
        shut(sandbox)
    assert text.split("\n")[:2] == ["8700 HELLO", "8545 second"]


def test_the_listeners_stay_usable_for_another_process_after_the_first_server_is_gone(bench: Bench) -> None:
    """A restarted firewall gets duplicates again."""
    program = """
        import socket, time
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", 8700), 10) as c:
                c.sendall(b"x"); print(c.recv(100).decode(), flush=True)
    """
    with bench.engine.create(bench.spec("python3", "-c", textwrap.dedent(program), ports=(8700,))) as sandbox:
        chunks: list[bytes] = []
        sandbox.start(chunks.append)
        for answer in (b"first", b"second"):
            duplicate = socket.socket(fileno=os.dup(sandbox.listeners[0].fileno()))
            with duplicate:
                connection, _ = duplicate.accept()
                with connection:
                    connection.sendall(answer)
        sandbox.wait(30)
    assert b"".join(chunks).split() == [b"first", b"second"]


def host_addresses() -> list[str]:
    """The host's own addresses, loopback included."""
    addresses = {"127.0.0.1", "::1"}
    for line in Path("/proc/net/fib_trie").read_text().splitlines():
        if line.strip().startswith("|-- "):
            addresses.add(line.split()[-1])
    return sorted(each for each in addresses if not each.startswith("0.") and not each.endswith((".0", ".255")))


ELSEWHERE = ("192.0.2.1", "169.254.169.254", "172.17.0.1", "10.0.0.1")
"""A documentation address, cloud metadata, Docker's bridge, a private network."""


def test_nothing_else_answers_neither_the_host_nor_a_resolver_nor_the_world(bench: Bench) -> None:
    service = socket.create_server(("0.0.0.0", 0))  # noqa: S104 - so that it answers on every address of the host
    six = socket.create_server(("::", 0), family=socket.AF_INET6)
    unix = socket.socket(socket.AF_UNIX)
    unix.bind("\0safebox-test-service")
    unix.listen()
    program = f"""
        import socket
        bad = []
        def reach(family, kind, target, ask=None):
            s = socket.socket(family, kind); s.settimeout(1)
            try:
                s.connect(target)
                if ask: s.send(ask); s.recv(100)
                bad.append(target)
            except OSError: pass
        for host in {[*host_addresses(), *ELSEWHERE]!r}:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            port = {six.getsockname()[1]} if ":" in host else {service.getsockname()[1]}
            reach(family, socket.SOCK_STREAM, (host, port))
            reach(family, socket.SOCK_STREAM, (host, 53))
            reach(family, socket.SOCK_DGRAM, (host, 53), b"\\0" * 12)
        reach(socket.AF_INET6, socket.SOCK_STREAM, ("2001:db8::1", 443))
        reach(socket.AF_UNIX, socket.SOCK_STREAM, "\\0safebox-test-service")
        try: bad.append(socket.getaddrinfo("example.com", 80))
        except OSError: pass
        print("reached", bad)
    """
    with service, six, unix:
        _, text = bench.python(textwrap.dedent(program), ports=(8700,))
    assert text == "reached []\n"


def test_only_the_loopback_interface_exists_and_there_is_no_route(bench: Bench) -> None:
    _, text = bench.run("sh", "-c", "tail -n +3 /proc/net/dev | cut -d: -f1; tail -n +2 /proc/net/route")
    assert text.split() == ["lo"]


def test_two_sandboxes_at_once_dont_see_each_others_ports(bench: Bench) -> None:
    ask = (
        "import socket,sys; c=socket.create_connection(('127.0.0.1', 8700), 5); c.send(b'?'); print(c.recv(9).decode())"
    )
    probe = "import socket; s=socket.socket(); s.settimeout(2); print(s.connect_ex(('127.0.0.1', 8701)) != 0)"
    first = bench.engine.create(bench.spec("python3", "-c", ask, ports=(8700,)))
    second = bench.engine.create(bench.spec("python3", "-c", ask + "\n" + probe, ports=(8700,)))
    third = bench.engine.create(bench.spec("true", ports=(8701,)))
    with first, second, third:
        serve_echo(first.listeners[0], b"one")
        serve_echo(second.listeners[0], b"two")
        assert finish(first)[1] == "one\n"
        assert finish(second)[1] == "two\nTrue\n"
        shut(first)
        shut(second)


# --- who owns what, and what is left ---

OWNER = """
import sys, time
from tests.contracts.conftest import ENGINES
from safebox.sandbox.spec import SandboxSpec
engine = ENGINES[sys.argv[1]]()
spec = SandboxSpec("orphan", "safebox/base", ("sleep", "300"), ports=(8700,), labels={"mark": sys.argv[2]})
with engine.create(spec) as s:
    s.start(lambda _: None)
    print(s.id, flush=True)
    s.wait()
"""


def start_owner(bench: Bench, mark: str) -> "tuple[subprocess.Popen[str], str]":
    line = [sys.executable, "-c", OWNER, bench.engine.name, mark]
    owner = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert owner.stdout is not None
    return owner, owner.stdout.readline().strip()


def test_control_c_of_the_owner_leaves_nothing(bench: Bench) -> None:
    mark = f"int-{time.time_ns()}"
    owner, _ = start_owner(bench, mark)
    owner.send_signal(signal.SIGINT)
    owner.communicate(timeout=20)
    assert bench.engine.find("mark", mark) == ()


def test_killing_the_owner_ends_the_agent_and_reaping_leaves_nothing(bench: Bench) -> None:
    mark = f"kill-{time.time_ns()}"
    owner, name = start_owner(bench, mark)
    assert [each.state for each in bench.engine.find("mark", mark)] == ["running"]
    owner.kill()
    owner.communicate()
    until = time.monotonic() + 10
    while any(each.state == "running" for each in bench.engine.find("mark", mark)) and time.monotonic() < until:
        time.sleep(0.05)
    assert [each.state for each in bench.engine.find("mark", mark)] == ["exited"]
    assert name in bench.engine.reap()
    assert bench.engine.find("mark", mark) == ()


def test_reaping_leaves_the_sandboxes_of_a_live_owner_alone(bench: Bench) -> None:
    mark = f"live-{time.time_ns()}"
    owner, name = start_owner(bench, mark)
    try:
        assert name not in bench.engine.reap()
        assert [each.state for each in bench.engine.find("mark", mark)] == ["running"]
    finally:
        owner.send_signal(signal.SIGINT)
        owner.communicate(timeout=20)


def test_a_detached_sandbox_outlives_its_owners_interest_and_ends_by_its_own_clock(bench: Bench) -> None:
    mark = f"detached-{time.time_ns()}"
    spec = bench.spec(
        "sh", "-c", "echo working; sleep 60", detached=True, labels={"mark": mark}, limits=Limits(wall_seconds=2)
    )
    sandbox = bench.engine.create(spec)
    sandbox.start(lambda _: None)
    del sandbox
    assert [each.state for each in bench.engine.find("mark", mark)] == ["running"]
    until = time.monotonic() + 20
    while bench.engine.find("mark", mark)[0].state == "running" and time.monotonic() < until:
        time.sleep(0.1)
    (found,) = bench.engine.find("mark", mark)
    assert (found.state, found.exit_code) == ("exited", 137)
    assert bench.engine.output(found.id) == b"working\n"
    bench.engine.discard(found.id)
    assert bench.engine.find("mark", mark) == ()


def test_an_engine_says_what_it_does_not_isolate(bench: Bench) -> None:
    assert any("kernel" in sentence for sentence in bench.engine.not_isolated())


def test_the_digest_of_an_image_is_a_sha256_and_of_an_unknown_one_nothing(bench: Bench) -> None:
    digest = bench.engine.image_digest("safebox/base")
    assert digest is not None
    assert digest.startswith("sha256:")
    assert bench.engine.image_digest("safebox/nothing") is None


def test_the_environment_reaches_the_agent_byte_for_byte(bench: Bench) -> None:
    value = "spaces  'quotes' \"double\" $HOME \\ --bind / / é\nline"
    _, text = bench.python("import os, json; print(json.dumps(os.environ['VALUE']))", env={"VALUE": value})
    assert json.loads(text) == value


# --- it can be used whatever else the machine does ---

ASK = """
import subprocess, sys, threading
from safebox.sandbox.engines.bwrap import BwrapEngine

subprocess.run(["mount", "--make-rshared", "/"], check=True)
asked = threading.Event()

def mount():
    while not asked.is_set():
        subprocess.run(["mount", "-t", "tmpfs", "none", sys.argv[1]], check=True)
        subprocess.run(["umount", sys.argv[1]], check=True)

others = threading.Thread(target=mount)
others.start()
reasons = {BwrapEngine().available() for _ in range(150)}
asked.set()
others.join()
assert reasons == {None}, reasons
"""


@pytest.mark.bwrap
def test_file_systems_that_come_and_go_elsewhere_make_no_engine_unusable(tmp_path: Path) -> None:
    require("bwrap")
    ran = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", ASK, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
