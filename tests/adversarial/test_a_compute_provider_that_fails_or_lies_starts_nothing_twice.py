"""A compute provider that hangs, babbles, lies or forgets to answer: one instance or none, and its lease is charged.

The provider is a process of its own that really rents out sandboxes; see `tests/compute_service.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from safebox.firewall.connectors import http_compute
from safebox.firewall.connectors.compute import ComputeConnector
from safebox.firewall.connectors.http_compute import HttpCompute
from safebox.firewall.connectors.leases import LeaseBook
from safebox.firewall.connectors.prices import ImagePrice
from safebox.firewall.core.action import Action
from safebox.firewall.errors import ConfigError, EffectError, FactsUnavailable, SandboxError
from safebox.sandbox.image import BASE_IMAGE
from tests.compute_service import AFTER, BROKEN, LATE_SECONDS, LIES, compute_service
from tests.contracts.conftest import real_engine
from tests.unit.connectors.actions import action, run_it, units, view

pytestmark = pytest.mark.bwrap
Client = Callable[..., HttpCompute]
PRICES = {BASE_IMAGE: ImagePrice(per_minute=100)}
RUN = f"run_{time.time_ns()}"
QUESTIONS: dict[str, Callable[[HttpCompute], object]] = {
    "images/resolve": lambda client: client.image_digest(BASE_IMAGE),
    "instances/find": lambda client: client.find(f"{RUN}.act_00"),
    "instances/close": lambda client: client.close("x"),
    "instances/status": lambda client: client.status("x"),
    "instances/start": lambda client: client.start(
        reference=f"{RUN}.act_00", image=BASE_IMAGE, command=("true",), input=None, seconds=60
    ),
    "instances/stop": lambda client: client.stop("x"),
    "instances/discard": lambda client: client.discard("x"),
}
WRONG_ANSWERS = [
    (question, how)
    for question in QUESTIONS
    for how in BROKEN
    if how != "slow" and (question, how) not in {("instances/stop", "no field"), ("instances/discard", "no field")}
]
"""All but those to questions that an empty object answers."""


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    real_engine("bwrap")
    with compute_service("bwrap") as made:
        yield made


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_compute, "START_SECONDS", 4.0)


@pytest.fixture
def leases(tmp_path: Path, client: Client) -> Iterator[LeaseBook]:
    yield LeaseBook(tmp_path)
    for lease in tmp_path.glob("*.json"):
        found = client().find(lease.stem)
        if found is not None:
            client().discard(found)


@pytest.mark.parametrize(("question", "how"), WRONG_ANSWERS)
def test_what_is_no_answer_is_an_error_and_its_words_are_not_repeated(client: Client, question: str, how: str) -> None:
    with pytest.raises(SandboxError) as caught:
        QUESTIONS[question](client(question, how))
    assert "secret" not in caught.value.cause
    assert client().find(f"{RUN}.act_00") is None


def test_nobody_is_waited_for_longer_than_is_said(client: Client) -> None:
    started = time.monotonic()
    with pytest.raises(SandboxError, match="no answer within"):
        client("instances/find", "slow").find("x")
    assert time.monotonic() - started < http_compute.ASK_SECONDS + 2


async def test_a_provider_that_cannot_be_asked_is_no_fact(client: Client, leases: LeaseBook) -> None:
    connector = ComputeConnector(client("images/resolve", "status"), PRICES, leases)
    with pytest.raises(FactsUnavailable):
        await connector.quote(_start("act_01"), view(run=RUN))
    assert not await ComputeConnector(client("instances/find", "no json"), PRICES, leases).healthy()


@pytest.mark.parametrize("how", [*AFTER, *LIES])
async def test_what_was_started_and_not_said_is_found_and_charged_once(
    client: Client, leases: LeaseBook, how: str
) -> None:
    name = f"act_2{[*AFTER, *LIES].index(how)}"  # one that was closed is not started again
    connector = ComputeConnector(client("instances/start", how), PRICES, leases)
    plan, outcome = await run_it(connector, _start(name), view(run=RUN))
    assert (outcome.status, units(outcome.charges, "USD")) == ("done", 500)
    assert connector.open_instances(RUN) == [name]
    one = client().find(f"{RUN}.{name}")
    assert await connector.reconcile(_start(name), view(run=RUN), plan) == outcome
    assert client().find(f"{RUN}.{name}") == one


@pytest.mark.parametrize("how", ["status", "hangs up", "no json"])
async def test_what_was_not_started_costs_nothing(client: Client, leases: LeaseBook, how: str) -> None:
    connector = ComputeConnector(client("instances/start", how), PRICES, leases)
    _, outcome = await run_it(connector, _start("act_03"), view(run=RUN))
    assert (outcome.status, outcome.charges) == ("failed", ())
    assert connector.open_instances(RUN) == []


async def test_a_start_that_comes_late_after_it_was_given_up_starts_nothing(client: Client, leases: LeaseBook) -> None:
    connector = ComputeConnector(client("instances/start", "late"), PRICES, leases)
    _, outcome = await run_it(connector, _start("act_06"), view(run=RUN))
    assert (outcome.status, outcome.charges) == ("failed", ())
    await asyncio.sleep(LATE_SECONDS - http_compute.START_SECONDS + 2)
    assert client().find(f"{RUN}.act_06") is None


async def test_while_nobody_says_what_became_of_a_start_its_lease_stays(client: Client, leases: LeaseBook) -> None:
    asked = _start("act_04")
    quote = await ComputeConnector(client(), PRICES, leases).quote(asked, view(run=RUN))
    lost = client("instances/start", "after: hangs up")
    lost.close = client("instances/close", "status").close  # type: ignore[method-assign]
    with pytest.raises(EffectError) as caught:
        await ComputeConnector(lost, PRICES, leases).perform(asked, view(run=RUN), quote.plan, None)
    assert caught.value.unknown
    assert [lease.instance for lease in leases.open_ones(RUN)] == ["act_04"]
    found = await ComputeConnector(client(), PRICES, leases).reconcile(asked, view(run=RUN), quote.plan)
    assert (found.status, units(found.charges, "USD")) == ("done", 500)


async def test_an_image_that_changed_after_the_decision_is_not_started(client: Client, leases: LeaseBook) -> None:
    other = f"sha256:{'0' * 64}"
    with pytest.raises(SandboxError, match="409"):
        client().start(
            reference=f"{RUN}.act_05", image=BASE_IMAGE, command=("true",), input=None, seconds=60, digest=other
        )
    connector = ComputeConnector(client(), PRICES, leases)
    plan = (await connector.quote(_start("act_05"), view(run=RUN))).plan
    with pytest.raises(EffectError, match="not the one that was decided"):
        await connector.perform(_start("act_05"), view(run=RUN), {**plan, "digest": other}, None)
    assert client().find(f"{RUN}.act_05") is None


def test_without_its_key_nothing_is_answered_and_no_key_goes_over_an_open_line(client: Client) -> None:
    for key in (None, "wrong"):
        with pytest.raises(SandboxError, match="401"):
            client(key=key).find("x")
    for url in ("http://provider.example/", "ftp://127.0.0.1/", "https://user:word@provider.example/", "nowhere"):
        with pytest.raises(ConfigError):
            HttpCompute(url, "key")
    with pytest.raises(ConfigError):
        HttpCompute("https://provider.example/", "key\r\nX: y")


def _start(identity: str) -> Action:
    asked = {"image": BASE_IMAGE, "command": ["sleep", "100"], "minutes": 5}
    return action("compute.start", asked, identity=identity)
