"""An in-memory twin of `ports.Desk` for the gateways' tests: it answers what a test says and decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from safebox.firewall.core.action import Call
from safebox.firewall.core.decision import Reason
from safebox.firewall.core.mandate import ComputeGrant, InferenceGrant, MailGrant, Mandate, WalletGrant
from safebox.firewall.core.money import Amount
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.errors import CallerError
from safebox.firewall.gateways.limits import PORTS, Limits
from safebox.firewall.gateways.server import GatewayServer
from safebox.firewall.metrics import Metrics
from safebox.firewall.ports import Deliver, RunView

ADDRESS = "0x52908400098527886E0F7030069857D2E4169EE7"
PAYEE = "0xde709f2102306220921060314715629080e2fb77"
CHAIN_ID = 31337
Answer = Callable[[Call, Deliver | None], Awaitable[Reply]]


def mandate(**sections: Any) -> Mandate:
    """A mandate with every section, of which `sections` replaces some."""
    everything: dict[str, Any] = {
        "agent": "twin",
        "purpose": "to be tested",
        "task_digest": "sha256:0",
        "expires": "2100-01-01T00:00:00Z",
        "wallet": WalletGrant(
            chain="dev",
            chain_id=CHAIN_ID,
            budget=Amount(10**18, "ETH"),
            per_transfer=Amount(10**17, "ETH"),
            ceiling=None,
            max_fee_per_gas=None,
            payees={},
        ),
        "mail": MailGrant(recipients=(), per_hour=1, inbox=True),
        "compute": ComputeGrant(
            provider="local", images=(), commands=(), budget=Amount(1, "USD"), instances=1, max_minutes=1
        ),
        "inference": InferenceGrant(
            models=("scripted", "scripted:a/b"), tokens=Amount(1, "TOKEN"), budget=Amount(1, "USD")
        ),
    }
    return Mandate(**(everything | sections))


def view(run: str = "run_1", **sections: Any) -> RunView:
    granted = mandate(**sections)
    address = None if granted.wallet is None else ADDRESS
    return RunView(id=run, agent="twin", mandate=granted, address=address, folder=None)


def done(**result: Any) -> Reply:
    return Reply(status=Status.DONE, decision_id="dec_1", result=result)


def not_done(status: Status, code: str, *, retry_after_s: int | None = None) -> Reply:
    return Reply(
        status=status,
        decision_id="dec_1",
        code=code,
        message="the reason",
        reasons=(Reason(code, "the reason"),),
        retry_after_s=retry_after_s,
    )


@dataclass
class TwinDesk:
    """Answers every call with `answer`, and remembers the calls."""

    views: dict[str, RunView] = field(default_factory=lambda: {"run_1": view()})
    calls: list[Call] = field(default_factory=list[Call])
    finished: int = 0
    answer: Answer | None = None
    held: dict[str, Reply] = field(default_factory=dict[str, Reply])
    reply: Reply = field(default_factory=lambda: done(ok=True))

    async def handle(self, call: Call, deliver: Deliver | None = None) -> Reply:
        self.calls.append(call)
        reply = self.reply if self.answer is None else await self.answer(call, deliver)
        self.finished += 1
        return reply

    def view(self, run: str) -> RunView:
        return self.views[run]

    async def told(self, run: str, decision: str) -> Reply:
        if decision not in self.held:
            raise CallerError("no decision of this name was held", code="request.unknown_decision")
        return self.held[decision]


def listeners() -> dict[str, socket.socket]:
    """One listening socket for each gateway, as a launcher hands them over."""
    made: dict[str, socket.socket] = {}
    for name in PORTS:
        made[name] = socket.create_server(("127.0.0.1", 0))
    return made


@dataclass(frozen=True)
class Served:
    """A running gateway server, and where its runs' gateways are."""

    server: GatewayServer
    desk: TwinDesk
    metrics: Metrics
    urls: dict[str, dict[str, str]]

    def url(self, gateway: str, run: str = "run_1") -> str:
        return self.urls[run][gateway]

    def port(self, gateway: str, run: str = "run_1") -> int:
        return int(self.url(gateway, run).rsplit(":", 1)[1])

    def requests(self, gateway: str, status: int) -> float:
        labels = {"gateway": gateway, "status": str(status)}
        return self.metrics.registry.get_sample_value("safebox_requests_total", labels) or 0


@contextlib.asynccontextmanager
async def serving(
    desk: TwinDesk, *, chain: Any = None, limits: Limits | None = None, poll: float = 1.0
) -> AsyncGenerator[Served]:
    """Serve every run of the desk until the end of the block."""
    metrics = Metrics()
    server = GatewayServer(desk, metrics, chain=chain, limits=limits, poll=poll)
    urls: dict[str, dict[str, str]] = {}
    for run in desk.views:
        sockets = listeners()
        urls[run] = {name: f"http://127.0.0.1:{one.getsockname()[1]}" for name, one in sockets.items()}
        await server.attach(run, list(sockets.values()))
    try:
        yield Served(server, desk, metrics, urls)
    finally:
        await server.close()


async def raw(port: int, data: bytes, *, half_close: bool = False, seconds: float = 5) -> bytes:
    """Send bytes as they are and return everything that comes back until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        writer.write(data)
        await writer.drain()
        if half_close:
            writer.write_eof()
    answer = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(seconds):
            while part := await reader.read(65536):
                answer += part
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


def two_runs() -> TwinDesk:
    """A desk of two runs, so that one can be seen to be let alone by the other."""
    return TwinDesk(views={"run_1": view("run_1"), "run_2": view("run_2")})


@contextlib.asynccontextmanager
async def again_and_again(ask: Callable[[], Awaitable[None]]) -> AsyncGenerator[list[float]]:
    """Ask until the end of the block, once at least, and say how long each answer took; what `ask` raises is raised."""
    took: list[float] = []
    stop = asyncio.Event()

    async def work() -> None:
        while not stop.is_set() or not took:
            began = time.perf_counter()
            await ask()
            took.append(time.perf_counter() - began)
            await asyncio.sleep(0.002)

    task = asyncio.create_task(work())
    try:
        yield took
    finally:
        stop.set()
        await task
    assert took
