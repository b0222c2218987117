"""An unmodified web3.py program and a program that looks for every way out, run as people run them, on both engines."""

from __future__ import annotations

import ipaddress
import json
import secrets
import socket
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from safebox.firewall.gateways.limits import PORTS
from tests.contracts.conftest import real_engine
from tests.live import Chain, Home, agent_folder, home_at, share_images
from tests.real_parts import ROOT

ACME = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
STRANGER = "0x024FD72454c4a3840b7D9Ac04fA8fDB3E650AfeA"
ETHER = 10**18
DUST = 10**14
"""A sweep offers the network more for gas than it takes; what it doesn't take stays behind."""

PROBE_MANDATE = """
[agent]
name = "probe"
command = ["python", "probe.py"]
purpose = "Look for a way out."
task = "Find one."
expires = "5m"
"""

PROBE = """
import errno, json, os, socket

with open("targets.json") as file:
    targets = json.load(file)
WAIT = 1.0
found = {}


def attempt(name, family, kind, address, send=None):
    try:
        with socket.socket(family, kind) as probe:
            probe.settimeout(WAIT)
            probe.connect(tuple(address) if isinstance(address, list) else address)
            if send is not None:
                probe.send(send)
                probe.recv(512)
        found[name] = "REACHED"
    except OSError as error:
        found[name] = errno.errorcode.get(error.errno, type(error).__name__)


def open_ports():
    seen = []
    for port in range(1, 65536):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0 and probe.getsockname() != probe.getpeername():
                seen.append(port)  # (a socket that got this very port as its own has only met itself)
    return seen


QUERY = bytes.fromhex("1234010000010000000000000765786d61706c65036f72670000010001")
for host, port in targets["tcp"]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    scope = [int(targets["scopes"].get(host, 0))]
    attempt(f"tcp {host} {port}", family, socket.SOCK_STREAM, [host, port] + ([0] + scope if ":" in host else []))
for host in targets["resolvers"]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    attempt(f"udp {host} 53", family, socket.SOCK_DGRAM, [host, 53], QUERY)
    attempt(f"tcp {host} 53", family, socket.SOCK_STREAM, [host, 53])
for host in ("fe80::1", "ff02::1"):
    for scope in (0, 1, 2):
        attempt(f"link {host}%{scope}", socket.AF_INET6, socket.SOCK_STREAM, [host, targets["listener"], 0, scope])
for name in targets["abstract"]:
    attempt(f"abstract {name}", socket.AF_UNIX, socket.SOCK_STREAM, "\\0" + name)
for path in targets["paths"]:
    attempt(f"path {path}", socket.AF_UNIX, socket.SOCK_STREAM, path)
for name in ("example.org", "localhost.localdomain", "host.docker.internal"):
    try:
        found[f"name {name}"] = "REACHED" if socket.getaddrinfo(name, 80) else "nothing"
    except OSError as error:
        found[f"name {name}"] = type(error).__name__
links = [name for _, name in socket.if_nameindex()]
namespace = os.readlink("/proc/self/ns/net")
print(json.dumps({"found": found, "open": open_ports(), "links": links, "namespace": namespace}))
"""


@pytest.fixture(
    params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("docker", "bwrap")], scope="module"
)
def engine(request: pytest.FixtureRequest) -> str:
    return real_engine(request.param).name


@pytest.fixture
def home(engine: str, short_path: Path) -> Iterator[Home]:
    with home_at(short_path / "h") as home:
        share_images(home.path)
        yield home


def test_an_unmodified_program_pays_whom_it_may_and_nobody_else(home: Home, engine: str) -> None:
    running = home.start("run", str(ROOT / "agents/examples/plain"), "--engine", engine, "--json")
    with home.hold() as line:
        done = running.end()
        assert done.status == 0, done
        run = str(running.run)
        chain = Chain(line.request("status")["urls"]["chain"])
        assert chain.balance(ACME) == 5 * ETHER // 100
        assert chain.balance(STRANGER) == 0
        (started,) = home.events("run_started")
        assert started["run_view"]["engine"] == engine
        assert chain.balance(started["run_view"]["address"]) < DUST
    log = home.agent_log(run)
    assert "chain 31337, block 1" in log
    assert "holds 0.2 ETH" in log
    assert "paid in block 2, status 1" in log
    assert "Web3RPCError" in log
    assert "transfer.payee_not_listed" in log
    assert "tools here: wallet.transfer, wallet.balance, wallet.quote" in log
    verdicts = [
        (event["tool"], event["action"]["args"]["to"], event["answer"]["verdict"])
        for event in home.events("decided")
        if event["caller"] == "agent"
    ]
    assert verdicts == [("wallet.transfer", ACME, "allow"), ("wallet.transfer", STRANGER, "deny")]
    assert [(event["reason"], event["exit_code"]) for event in home.events("run_ended")] == [("exited", 0)]
    home.nothing_left()
    home.verified()


def test_a_program_that_looks_for_a_way_out_finds_the_gateways_and_nothing_else(
    home: Home, engine: str, tmp_path: Path
) -> None:
    firewall = home.serve("--engine", engine)
    folder = agent_folder(tmp_path / "agents", "probe", PROBE_MANDATE, probe=PROBE)
    status = home.status()
    services: list[str] = [status["metrics"], *status["urls"].values()]
    with listening() as (listener, abstract):
        targets: dict[str, Any] = {
            "tcp": [
                *((host, listener) for host in (*host_addresses(), "127.0.0.1", "127.0.0.2", "::1", "0.0.0.0")),  # noqa: S104
                *(("127.0.0.1", urlsplit(url).port) for url in services),
                *((host, 443) for host in ("1.1.1.1", "8.8.8.8", "169.254.169.254", "2606:4700:4700::1111")),
                *((host, 80) for host in ("172.17.0.1", "192.168.0.1", "10.0.0.1", "100.100.100.200")),
            ],
            "scopes": {host: scope for host, scope in link_locals()},
            "resolvers": [*resolvers(), "8.8.8.8", "127.0.0.53", "127.0.0.11"],
            "abstract": [abstract, "/tmp/.X11-unix/X0", "/org/freedesktop/systemd1/notify"],
            "paths": ["/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock",
                      str(home.path / "control.sock"), "/run/dbus/system_bus_socket", "/dev/log"],
            "listener": listener,
        }  # fmt: skip
        (folder / "targets.json").write_text(json.dumps(targets))
        running = home.start("run", str(folder), "--engine", engine, "--json")
        done = running.end()
    assert done.status == 0, done
    seen = json.loads(home.agent_log(str(running.run)))
    assert {name: what for name, what in seen["found"].items() if what == "REACHED"} == {}
    assert len(seen["found"]) > len(targets["tcp"])
    assert seen["open"] == sorted(PORTS.values())
    assert seen["links"] == ["lo"]
    assert home.events("decided") == []
    assert seen["namespace"] not in namespaces()
    assert str(Path("/proc/self/ns/net").readlink()) in namespaces()
    firewall.process.terminate()
    assert firewall.end().status == 0
    home.nothing_left()


@contextmanager
def listening() -> Generator[tuple[int, str]]:
    """Services of the host on every address and on an abstract name, each seen to answer from here."""
    name = f"safebox-probe-{secrets.token_hex(8)}"
    with ExitStack() as stack:
        everywhere = stack.enter_context(socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True))
        port = everywhere.getsockname()[1]
        hidden = stack.enter_context(socket.socket(socket.AF_UNIX))
        hidden.bind(f"\0{name}")
        hidden.listen()
        for host in ("127.0.0.1", "::1", *(host for host in host_addresses() if not host.startswith("fe80"))):
            socket.create_connection((host, port), timeout=5).close()
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(f"\0{name}")
        yield port, name


def host_addresses() -> list[str]:
    """Every address of this machine but the loopback's, from the kernel's own tables."""
    lines = Path("/proc/net/fib_trie").read_text().splitlines()
    four = {
        before.split()[-1] for before, line in pairwise(lines) if "/32 host LOCAL" in line
    }  # an address is on the line before what it is
    six = {host for host, _ in link_locals()} | {str(address) for address, _ in _sixes() if not address.is_loopback}
    return sorted(host for host in four | six if not host.startswith("127."))


def link_locals() -> list[tuple[str, int]]:
    return [(str(address), scope) for address, scope in _sixes() if address.is_link_local]


def _sixes() -> list[tuple[ipaddress.IPv6Address, int]]:
    table = Path("/proc/net/if_inet6")
    rows = [line.split() for line in table.read_text().splitlines()] if table.exists() else []
    return [(ipaddress.IPv6Address(bytes.fromhex(row[0])), int(row[1], 16)) for row in rows]


def resolvers() -> list[str]:
    lines = Path("/etc/resolv.conf").read_text().splitlines()
    words = [line.split() for line in lines if line.startswith("nameserver")]
    return [each[1].partition("%")[0] for each in words]


def namespaces() -> set[str]:
    """The network namespaces any process of this machine is in."""
    found: set[str] = set()
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(str(link.readlink()))
        except OSError:  # ended meanwhile
            continue
    return found
