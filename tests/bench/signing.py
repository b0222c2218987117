"""The signing path: a payment through a whole firewall, beside a bare proxy before the same node, whose keys are open.

Both are asked `eth_sendTransaction` by one connection. The proxy passes it to an anvil that has the key and answers
when it has signed. The firewall decodes, asks the node for what policy must know, decides, reserves, has its signer
sign, sends, and answers when the payment is in a block (`firewall/decisions/0029`).
"""

from __future__ import annotations

import json
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safebox.firewall.keystore import Keystore
from tests.attached import Attached, AttachedRun, attached
from tests.bench.child import Child
from tests.bench.load import Load, drive
from tests.bench.reads import Part, computed
from tests.bench.report import Report
from tests.integration.chain_nodes import CHAIN_ID, TREASURY, anvil_process
from tests.live import Chain, home_at, until
from tests.real_parts import find

SECONDS: Final = 2.0
"""Of one stretch; ROUNDS of them through either, in turn, so that a machine that drifts drifts under both."""
ROUNDS: Final = 3
VALUE: Final = 10**9
BARE_PAYEE: Final = "0x" + "b0" * 20
PAYEE: Final = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
MANDATE: Final = f"""
[agent]
name = "payer"
command = ["true"]
purpose = "Be measured."
task = "Pay."
expires = "1h"
[wallet]
chain = "dev"
budget = "100 ETH"
per_transfer = "1 ETH"
max_fee_per_gas = "100 gwei"
[wallet.payees]
acme = "{PAYEE}"
"""


@dataclass(frozen=True)
class Way:
    """One way to the node: where it is asked, what for, and which processes compute for it."""

    chain: Chain
    port: int
    request: bytes
    payee: str
    pids: tuple[int, ...]

    def stretch(self) -> tuple[Load, float]:
        """Pay for a while; the times, and seconds of computing for one payment."""
        before, paid = self._computed(), self.chain.balance(self.payee)
        load = drive(self.port, self.request, connections=1, seconds=SECONDS)
        cost = (self._computed() - before) / load.count
        expected = paid + load.count * VALUE
        until(lambda: self.chain.balance(self.payee) >= expected, "what was measured was not paid")
        return load, cost

    def _computed(self) -> float:
        return sum(map(computed, self.pids))


def payment(sender: str, payee: str) -> bytes:
    """The request for one payment."""
    asked = {"from": sender, "to": payee, "value": hex(VALUE)}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_sendTransaction", "params": [asked]}).encode()
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


def _guarded(chain: Chain, firewall: Attached, run: AttachedRun) -> Way:
    assert run.address is not None
    port = int(run.listeners[2].getsockname()[1])
    return Way(chain, port, payment(run.address, PAYEE), PAYEE, (firewall.pid, *children(firewall.pid)))


def _bare(chain: Chain, proxy: Child) -> Way:
    sender = str(chain.ask("eth_accounts")[0])
    return Way(chain, proxy.port, payment(sender, BARE_PAYEE), BARE_PAYEE, (proxy.pid,))


def children(pid: int) -> list[int]:
    """The processes that a process started: of a firewall its signer, and stand-ins that nobody asks."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(each) for found in lists for each in found.read_text().split()]


def measure(report: Report) -> None:
    """Measure `sign_p50` and `sign_cpu`."""
    for part in map(find, ("anvil", "bwrap")):
        if not part.usable:
            report.leave_out("sign_p50, sign_cpu", f"{part.name} is {part.wrong}")
            return
    rows: list[tuple[tuple[Load, float], tuple[Load, float]]] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sb-")))
        node = stack.enter_context(anvil_process())
        home, proxy = stack.enter_context(home_at(folder / "h")), stack.enter_context(Part("proxy", node))
        chain = Chain(node)
        firewall = stack.enter_context(attached(home, chain_url=node, chain_id=str(CHAIN_ID), confirmations="1"))
        owner = Keystore.open(home.path / "keystore", home.path / "passphrase").owner_address
        chain.ask("anvil_setBalance", owner, hex(TREASURY))
        ways = _guarded(chain, firewall, firewall.start(MANDATE)), _bare(chain, proxy)
        for way in ways:
            way.stretch()
        for _ in range(ROUNDS):
            guarded, bare = (way.stretch() for way in ways)
            rows.append((guarded, bare))
    report.ratio("sign_p50", statistics.median(mine.p50 / bare.p50 for (mine, _), (bare, _) in rows))
    report.ratio("sign_cpu", statistics.median(mine / bare for (_, mine), (_, bare) in rows))
    for position, name in enumerate(("sign", "proxy_send")):
        report.figure(f"{name}_p50", statistics.median(row[position][0].p50 for row in rows) * 1e6, "µs")
        report.figure(f"{name}_cpu", statistics.median(row[position][1] for row in rows) * 1e6, "µs")
