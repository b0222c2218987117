"""What the pipeline may count on from every connector, each held to it on its own far side, present and absent."""

import contextlib
import inspect
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from safebox.firewall.connectors.chain import ChainConnector
from safebox.firewall.connectors.compute import ComputeConnector
from safebox.firewall.connectors.inference import InferenceConnector
from safebox.firewall.connectors.leases import LeaseBook
from safebox.firewall.connectors.mail import MailConnector
from safebox.firewall.connectors.prices import ImagePrice, ModelPrice
from safebox.firewall.core.action import Action, canonical
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.errors import CallerError, EffectError, FactsUnavailable, FirewallError, SandboxError
from safebox.firewall.keystore import Keystore
from safebox.firewall.ports import Connector, Outcome, Quote, RunView
from safebox.firewall.signer.trusting import TrustingSigner
from safebox.firewall.standing import RunNotLive
from safebox.firewall.standins.child import Name, StandIn
from safebox.sandbox.image import BASE_IMAGE
from safebox.sandbox.provider import LocalCompute
from tests.contracts.conftest import real_engine
from tests.unit.connectors.actions import PAYEE, action, run_it, view

NOWHERE = "127.0.0.1:9"
"""The discard port: nothing listens there."""
KEYSTORE = Keystore(bytes([9]) * 32)
RUN = view(address=KEYSTORE.create_for_run("run_01"))
ASKED: dict[str, tuple[Action, ...]] = {
    "mail": (action("email.send", {"to": ["a@b.example"], "subject": "s", "body": "b"}), action("email.list", {})),
    "chain": (
        action("wallet.transfer", {"to": PAYEE, "amount": "1 wei"}),
        action("wallet.balance", {}),
        action("wallet.quote", {"to": PAYEE, "amount": "1 wei"}),
    ),
    "inference": (
        action(
            "inference.chat",
            {"model": "scripted", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]},
        ),
    ),
    "compute": (
        action("compute.start", {"image": BASE_IMAGE, "command": ["true"], "minutes": 1}, identity="act_contract"),
    ),
}


class NoProvider:
    """A compute provider whose engine is away."""

    def start(
        self, *, reference: str, image: str, command: tuple[str, ...], input: str | None, seconds: int,
        digest: str | None = None,
    ) -> str:  # fmt: skip
        raise SandboxError("away")

    def status(self, instance: str) -> Any:
        raise SandboxError("away")

    def stop(self, instance: str) -> None:
        raise SandboxError("away")

    def find(self, reference: str) -> str | None:
        raise SandboxError("away")

    close = find

    def image_digest(self, image: str) -> str | None:
        raise SandboxError("away")


def _connectors(name: str, at: str, folder: Path, provider: Any) -> Connector:
    inbox = folder / "inbox"
    inbox.mkdir(exist_ok=True)
    match name:
        case "mail":
            return MailConnector(at, "agent@safebox.example", lambda _: inbox, timeout=2)
        case "chain":
            return ChainConnector(at, 31337, TrustingSigner(KEYSTORE), receipt_seconds=5)
        case "inference":
            return InferenceConnector(at, {"scripted": ModelPrice(1, 1)})
        case _:
            return ComputeConnector(provider, {BASE_IMAGE: ImagePrice(1)}, LeaseBook(folder / "leases"))


@dataclass(frozen=True)
class Case:
    """One connector with its far side."""

    connector: Connector
    asked: tuple[Action, ...]


@contextlib.asynccontextmanager
async def _far_side(name: str, folder: Path) -> AsyncGenerator[tuple[str, Any]]:
    """Start what a connector talks to; yields its address, or the provider."""
    if name == "compute":
        engine = real_engine("bwrap")
        provider = LocalCompute(engine)
        yield "", provider
        found = provider.find("run_01.act_contract")
        if found is not None:
            engine.discard(found)
        return
    (folder / "default.toml").write_text('[[step]]\nsay = "ok"\n')
    funds = [f"{address}={10**18}" for address in (RUN.address, KEYSTORE.owner_address)]
    started: dict[str, tuple[Name, tuple[str | Path, ...]]] = {
        "mail": ("mail", ("--state", folder / "mail")),
        "chain": ("chain", ("--state", folder / "chain", "--fund", funds[0], "--fund", funds[1])),
        "inference": ("model", ("--playbooks", folder)),
    }
    async with await StandIn.start(started[name][0], *started[name][1]) as child:
        yield child.url, None


@pytest.fixture(params=sorted(ASKED))
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    async with _far_side(request.param, tmp_path) as (url, provider):
        connector = _connectors(request.param, url, tmp_path, provider)
        yield Case(connector, ASKED[request.param])
        await connector.close()


@pytest.fixture(params=sorted(ASKED))
async def absent(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    scheme = "smtp" if request.param == "mail" else "http"
    connector = _connectors(request.param, f"{scheme}://{NOWHERE}", tmp_path, NoProvider())
    yield Case(connector, ASKED[request.param])
    await connector.close()


async def test_it_says_that_it_is_healthy_and_closes_more_than_once(case: Case) -> None:
    assert await case.connector.healthy()
    await case.connector.close()
    await case.connector.close()


def said(quote: Quote) -> tuple[Any, ...]:
    return quote.charges, quote.plan, quote.known()


async def test_asking_for_a_quote_twice_changes_nothing_and_gives_the_same_plan(case: Case) -> None:
    for asked in case.asked:
        first, second = [await case.connector.quote(asked, RUN) for _ in range(2)]
        assert said(first) == said(second)


async def test_what_it_quotes_and_tells_is_plain_json(case: Case) -> None:
    for asked in case.asked:
        quote = await case.connector.quote(asked, RUN)
        assert msgspec.json.decode(canonical(quote.plan)) == quote.plan
        assert msgspec.json.decode(canonical(quote.known())) == quote.known()
        plan, outcome = await run_it(case.connector, asked, RUN)
        assert outcome.status == "done"
        assert msgspec.json.decode(canonical(outcome.result)) == outcome.result
        assert plan == msgspec.json.decode(canonical(quote.plan))


async def test_what_is_taken_is_on_lines_that_were_quoted_and_never_more(case: Case) -> None:
    for asked in case.asked:
        quote = await case.connector.quote(asked, RUN)
        _, outcome = await run_it(case.connector, asked, RUN)
        worst = {(charge.rail, charge.amount.asset): charge.amount.units for charge in quote.charges}
        for charge in outcome.charges:
            assert charge.amount.units <= worst[charge.rail, charge.amount.asset]


async def test_looking_back_at_what_was_done_does_not_do_it_again(case: Case) -> None:
    for asked in case.asked:
        plan, outcome = await run_it(case.connector, asked, RUN)
        found = await case.connector.reconcile(asked, RUN, plan)
        assert found.status in ("unknown", "failed") or found == outcome
        assert found == await case.connector.reconcile(asked, RUN, plan)


async def test_without_its_far_side_it_says_so_and_certainly_did_nothing(absent: Case) -> None:
    assert not await absent.connector.healthy()
    for asked in absent.asked:
        refused, outcome = await _tried(absent.connector, asked)
        assert (
            isinstance(refused, FactsUnavailable)
            or (isinstance(refused, EffectError) and not refused.unknown)
            or (outcome is not None and TOOLS[asked.tool].reads_only)
        )


async def _tried(connector: Connector, asked: Action) -> tuple[FirewallError | None, Outcome | None]:
    try:
        return None, (await run_it(connector, asked, RUN))[1]
    except FirewallError as error:
        return error, None


async def test_it_looks_once_more_before_what_cannot_be_taken_back_and_then_does_nothing(case: Case) -> None:
    def stop(asked: Action) -> None:
        raise RunNotLive(f"{asked.tool} is stopped")

    stopped = msgspec.structs.replace(RUN, last_look=stop)
    for asked in case.asked:
        if not TOOLS[asked.tool].reads_only:
            before = await case.connector.quote(asked, RUN)
            with pytest.raises(RunNotLive, match=asked.tool):
                await case.connector.perform(asked, stopped, before.plan, None)
            assert said(await case.connector.quote(asked, RUN)) == said(before)
            assert (await run_it(case.connector, asked, RUN))[1].status == "done"


async def test_a_plan_that_is_none_is_refused_before_anything_is_done(case: Case) -> None:
    for asked in case.asked:
        if not TOOLS[asked.tool].reads_only and asked.tool != "inference.chat":
            with pytest.raises(EffectError):
                await case.connector.perform(asked, RUN, {}, None)


async def test_arguments_of_another_kind_are_the_callers_fault_or_read_nothing(case: Case) -> None:
    other = next(asked[0] for name, asked in ASKED.items() if name != case.connector.name)
    with contextlib.suppress(CallerError):
        assert (await case.connector.quote(other, RunView(**_fields(RUN)))).charges == ()


def _fields(run: RunView) -> dict[str, Any]:
    return {name: getattr(run, name) for name in run.__struct_fields__}


NOT_YET = {"signing", "web", "mcp", "spawn"}
"""Judged by policy already. Where nothing performs them they are no tools, and no mandate may grant them."""
NOT_PERFORMED = {"launch"}
"""Starting a run is judged before there is a run that could ask for anything; `launch` and `lifecycle` do it."""


def test_every_tool_has_a_connector_under_contract() -> None:
    assert {tool.connector for tool in TOOLS.values()} == set(ASKED) | NOT_YET | NOT_PERFORMED
    for method in ("quote", "perform", "reconcile"):
        assert inspect.iscoroutinefunction(getattr(ChainConnector, method))
