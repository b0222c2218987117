"""Law 2, from the engine's side: a yes is explicit. Whatever is absent, null or of another type allows nothing."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebox.firewall.core.decision import Verdict
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.errors import PolicyUnavailable
from tests.unit.policy import cases

TOOLS = sorted(cases.good())
WRONG: tuple[Any, ...] = (cases.DELETED, None, False, True, 0, -1, "", "x", [], {}, [[]], {"x": None}, 2**80, 0.5)

EVERYWHERE = """
    action action.tool action.kind action.effects action.effects.0 action.args action.caller
    mandate facts facts.expired facts.rates facts.rates.denied_10m
"""
JUDGED = {
    "email.send": """
        action.args.to action.args.to.0 mandate.mail mandate.mail.per_hour
        facts.rates.hour facts.recipients facts.recipients.0 facts.recipients.0.address facts.recipients.0.listed
        facts.self_overlap facts.self_overlap.matched facts.self_overlap.share_bp facts.self_overlap.secrets
    """,
    "wallet.transfer": """
        action.args.to action.args.amount action.args.amount.asset action.args.amount.units
        action.args.max_fee_per_gas.asset action.args.max_fee_per_gas.units run.address
        mandate.wallet mandate.wallet.chain_id mandate.wallet.per_transfer mandate.wallet.per_transfer.asset
        mandate.wallet.per_transfer.units mandate.wallet.max_fee_per_gas.asset mandate.wallet.max_fee_per_gas.units
        facts.money facts.money.priced facts.money.charges facts.money.charges.0 facts.money.charges.0.rail
        facts.money.charges.0.asset facts.money.charges.0.units facts.money.charges.0.remaining
        facts.payee facts.payee.address facts.payee.listed facts.payee.self facts.wallet facts.wallet.chain_id
    """,
    "compute.start": """
        action.time action.args.image action.args.command action.args.command.0 action.args.minutes
        mandate.expires mandate.compute mandate.compute.images mandate.compute.commands mandate.compute.instances
        mandate.compute.max_minutes
        facts.money facts.money.priced facts.money.charges facts.money.charges.0 facts.money.charges.0.rail
        facts.money.charges.0.asset facts.money.charges.0.units facts.money.charges.0.remaining
        facts.compute facts.compute.image_digest facts.compute.pinned_digest facts.compute.price_per_minute
        facts.compute.running
        facts.compute.price_per_minute.asset facts.compute.price_per_minute.units
        facts.self_overlap facts.self_overlap.matched facts.self_overlap.share_bp facts.self_overlap.secrets
    """,
    "inference.chat": """
        action.args.model mandate.inference mandate.inference.models
        facts.money facts.money.priced facts.money.charges facts.money.charges.0 facts.money.charges.1
        facts.money.charges.0.rail facts.money.charges.0.units facts.money.charges.0.remaining
        facts.money.charges.1.units facts.money.charges.1.remaining
        facts.inference facts.inference.model_known facts.inference.max_tokens facts.self_overlap.secrets
    """,
}


@pytest.fixture(scope="module")
def engine() -> EmbeddedEngine:
    return EmbeddedEngine(load_bundle([pack_folder()]))


def allows(engine: EmbeddedEngine, document: object) -> bool:
    try:
        return engine.answer(cases.encode(document)).verdict is Verdict.ALLOW
    except PolicyUnavailable:
        return False


@pytest.mark.parametrize("tool", TOOLS)
def test_the_good_neighbour_is_allowed(engine: EmbeddedEngine, tool: str) -> None:
    assert allows(engine, cases.good()[tool])


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool not in {"wallet.sweep", "compute.stop"}])
@pytest.mark.parametrize("part", ["action", "mandate", "facts", "facts.expired"])
def test_without_a_whole_part_nothing_is_allowed(engine: EmbeddedEngine, tool: str, part: str) -> None:
    for wrong in (*WRONG[:3], *WRONG[4:]) if part == "facts.expired" else WRONG:
        if part == "facts.expired" and wrong is False:
            continue
        assert not allows(engine, cases.changed(cases.good()[tool], part, wrong)), wrong


@pytest.mark.parametrize("tool", sorted(JUDGED))
def test_every_judged_field_that_is_deleted_or_null_denies(engine: EmbeddedEngine, tool: str) -> None:
    document = cases.good()[tool]
    for path in [*EVERYWHERE.split(), *JUDGED[tool].split()]:
        assert not allows(engine, cases.changed(document, path, cases.DELETED)), f"{path} deleted"
        assert not allows(engine, cases.changed(document, path, None)), f"{path} null"


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_a_field_of_another_type_never_makes_a_yes_of_a_no(engine: EmbeddedEngine, data: st.DataObject) -> None:
    document = cases.good()[data.draw(st.sampled_from(TOOLS))]
    broken = cases.changed(document, "action.tool", "no.such_tool")
    for _ in range(data.draw(st.integers(1, 4))):
        places = [path for path in cases.paths(broken) if path != "action.tool"]
        broken = cases.changed(broken, data.draw(st.sampled_from(places)), data.draw(st.sampled_from(WRONG)))
    assert not allows(engine, broken)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
NAMES = st.sampled_from(["action", "facts", "mandate", "tool", "kind", "x"])


@given(document=st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=12))
@settings(max_examples=150, deadline=None)
def test_no_document_by_chance_is_allowed(engine: EmbeddedEngine, document: object) -> None:
    assert not allows(engine, document)


@pytest.mark.parametrize("tool", TOOLS)
def test_another_spelling_of_a_tool_is_another_tool(engine: EmbeddedEngine, tool: str) -> None:
    for name in (
        tool.upper(),
        f"{tool} ",
        f" {tool}",
        tool.replace(".", "\uff0e"),
        tool[:-1] + chr(ord(tool[-1]) + 0xFEE0),  # the same letter, full width
        f"{tool}\0",
    ):
        assert not allows(engine, cases.changed(cases.good()[tool], "action.tool", name))


def test_an_engine_is_not_asked_from_another_thread(engine: EmbeddedEngine) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool, pytest.raises(PolicyUnavailable) as caught:
        pool.submit(engine.answer, b"{}").result()
    assert caught.value.kind == "thread"


def test_an_engine_another_thread_collects_is_freed_by_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    bundle = load_bundle([pack_folder()])
    gc.collect()
    gc.disable()
    try:
        engine = EmbeddedEngine(bundle)
        gone = weakref.ref(engine)
        cycle: list[object] = [engine]
        cycle.append(cycle)
        del engine, cycle
        collector = threading.Thread(target=gc.collect)
        collector.start()
        collector.join()
    finally:
        gc.enable()
    assert gone() is None
    assert EmbeddedEngine(bundle).health().ready
    assert not complaints


def test_a_panic_of_the_engine_is_a_no_and_the_engine_lives_on() -> None:
    PanicException = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})  # noqa: N806
    engine = EmbeddedEngine(load_bundle([pack_folder()]))

    class Panicking:
        def set_input_json(self, _: str) -> None:
            raise PanicException("index out of bounds")

    engine._machine = Panicking()  # type: ignore[assignment]  # pyright: ignore
    with pytest.raises(PolicyUnavailable) as caught:
        engine.answer(b"{}")
    assert caught.value.kind == "panic"
    assert allows(engine, cases.good()["email.send"])


def test_what_is_no_panic_is_not_swallowed() -> None:
    engine = EmbeddedEngine(load_bundle([pack_folder()]))

    class Interrupted:
        def set_input_json(self, _: str) -> None:
            raise KeyboardInterrupt

    engine._machine = Interrupted()  # type: ignore[assignment]  # pyright: ignore
    with pytest.raises(KeyboardInterrupt):
        engine.answer(b"{}")
