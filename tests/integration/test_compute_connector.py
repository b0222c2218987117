"""The compute connector with real sandboxes, from the local provider and over HTTP, and on a provider that breaks."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from safebox.firewall.connectors.compute import LATE_SECONDS, ComputeConnector, ComputeProvider
from safebox.firewall.connectors.leases import LeaseBook
from safebox.firewall.connectors.prices import ImagePrice
from safebox.firewall.errors import CallerError, EffectError, FactsUnavailable, SandboxError
from safebox.sandbox.image import BASE_IMAGE
from safebox.sandbox.provider import InstanceStatus, LocalCompute
from tests.compute_service import compute_service
from tests.contracts.conftest import real_engine
from tests.unit.connectors.actions import action, run_it, units, view

PRICES = {BASE_IMAGE: ImagePrice(per_minute=100, minimum=150)}
NAMES = ["docker", "bwrap", "http"]


RUN = f"run_{time.time_ns()}"
"""A run of this session alone: what it rents is told apart from what earlier sessions rented."""


@pytest.fixture(params=NAMES)
def provider(request: pytest.FixtureRequest) -> Iterator[ComputeProvider]:
    if request.param != "http":
        yield LocalCompute(real_engine(request.param))
        return
    real_engine("bwrap")
    with compute_service("bwrap") as client:
        yield client()


@pytest.fixture
def compute(provider: ComputeProvider, tmp_path: Path) -> Iterator[ComputeConnector]:
    yield ComputeConnector(provider, PRICES, LeaseBook(tmp_path))
    for lease in tmp_path.glob("*.json"):
        instance = provider.find(lease.stem)
        if instance is not None:
            provider.discard(instance)


def _start(*command: str, minutes: int = 5, identity: str = "act_01", **more: Any) -> Any:
    asked: dict[str, Any] = {"image": BASE_IMAGE, "command": list(command), "minutes": minutes, **more}
    return action("compute.start", asked, identity=identity)


async def _ended(compute: ComputeConnector, instance: str) -> Any:
    asked = action("compute.status", {"instance": instance}, identity="act_08")
    for _ in range(200):
        _, outcome = await run_it(compute, asked, view(run=RUN))
        if outcome.result["state"] != "running":
            return outcome
        await asyncio.sleep(0.05)
    raise AssertionError("still running")


async def test_a_lease_is_charged_at_worst_and_what_was_not_used_comes_back_once(compute: ComputeConnector) -> None:
    asked = _start("sh", "-c", "tr a-z A-Z < /job/input; exit 3", input="hello")
    quote = await compute.quote(asked, view(run=RUN))
    assert units(quote.charges, "USD") == 500
    assert quote.known()["compute"]["image_digest"].startswith("sha256:")
    _, started = await run_it(compute, asked, view(run=RUN))
    assert (started.status, units(started.charges, "USD")) == ("done", 500)
    assert started.result == {"instance": "act_01", "price_per_minute": "0.0001 USD", "lease_minutes": 5}
    ended = await _ended(compute, "act_01")
    assert (ended.result["exit_code"], ended.result["output"]) == (3, "HELLO")
    assert units(ended.refunds, "USD") == 350
    _, stopped = await run_it(compute, action("compute.stop", {"instance": "act_01"}, identity="act_09"), view(run=RUN))
    assert (stopped.refunds, stopped.result["charged"]) == ((), "0.00015 USD")
    assert compute.open_instances(RUN) == []


async def test_once_settled_the_container_is_gone_and_what_it_wrote_can_still_be_asked_for(
    compute: ComputeConnector, provider: ComputeProvider
) -> None:
    asked = _start("sh", "-c", "echo result; exit 4")
    plan, started = await run_it(compute, asked, view(run=RUN))
    ended = await _ended(compute, "act_01")
    assert provider.find(f"{RUN}.act_01") is None
    again = await _ended(compute, "act_01")
    assert again.result == ended.result
    assert (again.result["state"], again.result["exit_code"], again.result["output"]) == ("exited", 4, "result\n")
    assert again.refunds == ()
    assert await compute.reconcile(asked, view(run=RUN), plan) == started


async def test_a_container_that_cant_be_removed_is_settled_all_the_same(tmp_path: Path) -> None:
    connector = _on(Broken("discard"), tmp_path)
    await run_it(connector, _start("true"), view())
    _, outcome = await run_it(connector, action("compute.stop", {"instance": "act_01"}, identity="act_02"), view())
    assert (outcome.status, connector.open_instances("run_01")) == ("done", [])


async def test_a_running_instance_counts_until_it_is_stopped_and_then_is_settled(compute: ComputeConnector) -> None:
    await run_it(compute, _start("sleep", "100"), view(run=RUN))
    quote = await compute.quote(_start("sleep", "100", identity="act_02"), view(run=RUN))
    assert quote.known()["compute"]["running"] == 1
    assert compute.open_instances(RUN) == ["act_01"]
    stop = action("compute.stop", {"instance": "act_01"}, identity="act_03")
    _, outcome = await run_it(compute, stop, view(run=RUN))
    assert units(outcome.refunds, "USD") == 350
    assert await compute.reconcile(stop, view(run=RUN), {}) == outcome
    again = await compute.quote(_start("sleep", "100", identity="act_02"), view(run=RUN))
    assert again.known()["compute"]["running"] == 0


async def test_no_run_can_name_another_runs_instance(compute: ComputeConnector) -> None:
    await run_it(compute, _start("sleep", "100"), view(run=RUN))
    for tool in ("compute.status", "compute.stop"):
        with pytest.raises(CallerError, match="no instance"):
            await run_it(compute, action(tool, {"instance": "act_01"}), view(run="run_02"))
        for name in (f"../{RUN}.act_01", f"{RUN}.act_01", "act_01.json"):
            with pytest.raises(CallerError, match="no instance"):
                await run_it(compute, action(tool, {"instance": name}), view(run=RUN))


@pytest.mark.parametrize("asks", ["the stop that settled it, after a crash", "another stop"])
async def test_a_container_that_a_crash_left_settled_is_removed_by_whoever_asks_again(
    tmp_path: Path, asks: str
) -> None:
    provider = Broken("discard")
    connector, stop = _on(provider, tmp_path), action("compute.stop", {"instance": "act_01"}, identity="act_02")
    await run_it(connector, _start("true"), view())
    plan, settled = await run_it(connector, stop, view())
    assert provider.started == {"run_01.act_01"}
    provider.failing.clear()
    if asks == "another stop":
        another = action("compute.stop", {"instance": "act_01"}, identity="act_03")
        assert (await run_it(connector, another, view()))[1].refunds == ()
    else:
        assert await connector.reconcile(stop, view(), plan) == settled
    assert provider.started == set()


async def test_after_a_crash_a_start_is_found_and_no_second_one_is_made(compute: ComputeConnector) -> None:
    asked = _start("sleep", "100")
    plan, started = await run_it(compute, asked, view(run=RUN))
    assert await compute.reconcile(asked, view(run=RUN), plan) == started
    never = _start("sleep", "100", identity="act_05")
    assert (await compute.reconcile(never, view(run=RUN), plan)).status == "failed"
    assert compute.open_instances(RUN) == ["act_01"]


async def test_an_image_that_is_asked_for_with_its_digest_is_that_or_nothing(
    compute: ComputeConnector, provider: ComputeProvider
) -> None:
    digest = provider.image_digest(BASE_IMAGE)
    assert digest is not None
    asked = _start("true", image=f"{BASE_IMAGE}@{digest}")
    quote = await compute.quote(asked, view(run=RUN))
    assert (quote.known()["compute"]["image_digest"], units(quote.charges, "USD")) == (digest, 500)
    _, started = await run_it(compute, asked, view(run=RUN))
    assert started.status == "done"
    other = _start("true", image=f"{BASE_IMAGE}@sha256:{'0' * 64}", identity="act_02")
    quote = await compute.quote(other, view(run=RUN))
    assert quote.known()["compute"]["image_digest"] == digest, "what there is: policy says no"
    with pytest.raises(EffectError, match="not the one that was decided"):
        await compute.perform(other, view(run=RUN), quote.plan, None)
    assert provider.find(f"{RUN}.act_02") is None


async def test_an_image_without_a_price_has_no_plan_and_is_never_started(compute: ComputeConnector) -> None:
    asked = action("compute.start", {"image": "other", "command": ["true"], "minutes": 1})
    quote = await compute.quote(asked, view(run=RUN))
    assert (quote.charges, quote.plan, quote.known()["compute"]["price_per_minute"]) == ((), {}, None)
    with pytest.raises(EffectError, match="no price"):
        await compute.perform(asked, view(run=RUN), quote.plan, None)


class Broken:
    """A provider that fails, by choice, to start, to find, or to say what a name means."""

    def __init__(self, *failing: str, starts: bool = False) -> None:
        self.failing = set(failing)
        self.starts = starts
        self.started: set[str] = set()

    def _maybe(self, name: str) -> None:
        if name in self.failing:
            raise SandboxError(f"{name} failed")

    def start(
        self, *, reference: str, image: str, command: tuple[str, ...], input: str | None, seconds: int,
        digest: str | None = None,
    ) -> str:  # fmt: skip
        if self.starts:
            self.started.add(reference)
        self._maybe("start")
        self.started.add(reference)
        return reference

    def status(self, instance: str) -> InstanceStatus:
        self._maybe("status")
        return InstanceStatus("running", None, "", 1, None, None)

    def stop(self, instance: str) -> None:
        self._maybe("stop")

    def discard(self, instance: str) -> None:
        self._maybe("discard")
        self.started.discard(instance)

    def find(self, reference: str) -> str | None:
        self._maybe("find")
        return reference if reference in self.started else None

    close = find

    def image_digest(self, image: str) -> str | None:
        self._maybe("image_digest")
        return "sha256:1"


def _on(provider: ComputeProvider, folder: Path) -> ComputeConnector:
    return ComputeConnector(provider, PRICES, LeaseBook(folder))


async def test_a_start_that_fails_is_told_apart_from_one_that_happened_anyway(tmp_path: Path) -> None:
    certain = _on(Broken("start"), tmp_path / "a")
    _, outcome = await run_it(certain, _start("true"), view())
    assert (outcome.status, certain.open_instances("run_01")) == ("failed", [])
    _, anyway = await run_it(_on(Broken("start", starts=True), tmp_path / "b"), _start("true"), view())
    assert anyway.status == "done"


async def test_a_start_nobody_can_ask_about_is_unknown_and_keeps_its_lease(tmp_path: Path) -> None:
    provider = Broken()
    connector = _on(provider, tmp_path)
    quote = await connector.quote(_start("true"), view())
    provider.failing = {"start", "find"}
    with pytest.raises(EffectError) as caught:
        await connector.perform(_start("true"), view(), quote.plan, None)
    assert caught.value.unknown
    assert connector.open_instances("run_01") == ["act_01"]
    assert not await connector.healthy()
    with pytest.raises(FactsUnavailable):
        await connector.quote(_start("true", identity="act_02"), view())


async def test_a_stop_that_fails_settles_nothing(tmp_path: Path) -> None:
    provider = Broken()
    connector = _on(provider, tmp_path)
    await run_it(connector, _start("true"), view())
    provider.failing = {"stop"}
    stop = action("compute.stop", {"instance": "act_01"}, identity="act_02")
    with pytest.raises(EffectError):
        await connector.perform(stop, view(), {}, None)
    assert connector.open_instances("run_01") == ["act_01"]


STOP = action("compute.stop", {"instance": "act_01"}, identity="act_02")
STATUS = action("compute.status", {"instance": "act_01"}, identity="act_03")


async def _in_use(connector: ComputeConnector) -> int:
    quote = await connector.quote(_start("true", identity="act_09"), view())
    running: int = quote.known()["compute"]["running"]
    return running


async def test_what_a_provider_forgot_is_held_and_charged_until_its_time_is_over(tmp_path: Path) -> None:
    provider, now = Broken(), [1_000.0]
    connector = ComputeConnector(provider, PRICES, LeaseBook(tmp_path), now=lambda: now[0])
    await run_it(connector, _start("true"), view())
    known, provider.started = provider.started, set()
    for asked in (STATUS, STOP):
        with pytest.raises(EffectError, match="doesn't know this instance") as caught:
            await connector.perform(asked, view(), {}, None)
        assert caught.value.unknown
    with pytest.raises(EffectError):
        await connector.reconcile(STOP, view(), {})
    assert (connector.open_instances("run_01"), connector.forgotten, await _in_use(connector)) == (["act_01"], 1, 1)
    provider.started = known
    assert (await _in_use(connector), connector.forgotten) == (1, 0), "found again"
    provider.started = set()
    now[0] += 5 * 60
    assert (await _in_use(connector), connector.forgotten) == (1, 1), "it may have begun a little late"
    now[0] += LATE_SECONDS
    assert (await _in_use(connector), connector.forgotten) == (0, 0)
    outcome = await connector.reconcile(STOP, view(), {})
    assert (outcome.refunds, outcome.result["charged"]) == ((), "0.0005 USD")
    assert connector.open_instances("run_01") == []


async def test_a_start_that_was_told_of_is_no_start_that_failed_because_its_provider_forgot_it(tmp_path: Path) -> None:
    provider = Broken()
    plan, started = await run_it(_on(provider, tmp_path), _start("true"), view())
    provider.started = set()
    again = _on(provider, tmp_path)
    assert await again.reconcile(_start("true"), view(), plan) == started
    assert (again.open_instances("run_01"), await _in_use(again)) == (["act_01"], 1)


async def test_a_lease_of_which_nobody_knows_when_it_ends_is_held(tmp_path: Path) -> None:
    provider, leases = Broken(), LeaseBook(tmp_path)
    connector = ComputeConnector(provider, PRICES, leases)
    await run_it(connector, _start("true"), view())
    (lease,) = leases.open_ones("run_01")
    leases.put(msgspec.structs.replace(lease, ends=None))
    provider.started = set()
    with pytest.raises(EffectError):
        await connector.perform(STOP, view(), {}, None)
    assert await _in_use(connector) == 1


async def test_a_damaged_lease_refuses_everything_that_depends_on_it(tmp_path: Path) -> None:
    connector = _on(Broken(), tmp_path)
    await run_it(connector, _start("true"), view())
    (tmp_path / "run_01.act_01.json").write_text('{"run":"run_01"}')
    with pytest.raises(FactsUnavailable):
        await connector.quote(_start("true", identity="act_02"), view())
