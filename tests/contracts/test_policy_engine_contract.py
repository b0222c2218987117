"""What every policy engine must do, whatever it is made of.

An engine under contract is made by a builder that takes policy text (`package safebox.main`) and gives an `Engine`
ready to be asked; the one made last is asked. To put another engine under the contract, add it to `BUILDERS`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from safebox.firewall.core.decision import Verdict
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.engines.opa import OpaEngine, OpaPlace
from safebox.firewall.engines.opa_load import load
from safebox.firewall.errors import PolicyUnavailable
from safebox.firewall.ports import Engine
from tests.opa import Opa, opa_server
from tests.unit.policy import cases

Build = Callable[[str], Awaitable[Engine]]
Builder = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Build]]


@asynccontextmanager
async def embedded(_: pytest.FixtureRequest) -> AsyncGenerator[Build]:
    async def build(text: str) -> Engine:
        return EmbeddedEngine(cases.alone(text))

    yield build


@asynccontextmanager
async def opa(request: pytest.FixtureRequest) -> AsyncGenerator[Build]:
    server: Opa = request.getfixturevalue("server")
    place = OpaPlace(server.address)

    async def build(text: str) -> Engine:
        bundle = cases.alone(text)
        await load(place.server, bundle)
        return OpaEngine(place, bundle)

    yield build
    await place.close()


BUILDERS: dict[str, Builder] = {"embedded": embedded, "opa": opa}
"""What engines there are; the OPA server is a real one."""

DENY = 'default decision := {"verdict": "deny", "reasons": [{"code": "main.no", "message": "No."}], "obligations": {}}'
ALLOW_ONE = 'decision := {"verdict": "allow", "reasons": [], "obligations": {"note": "x"}} if input.n == 1'


@pytest.fixture(scope="module")
def server() -> Iterator[Opa]:
    with opa_server() as running:
        yield running


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.opa] * (name == "opa")) for name in sorted(BUILDERS)])
async def build(request: pytest.FixtureRequest) -> AsyncGenerator[Build]:
    async with BUILDERS[request.param](request) as made:
        yield made


async def test_says_what_policy_says_and_nothing_else(build: Build) -> None:
    engine = await build(f"{DENY}\n\n{ALLOW_ONE}")
    allowed = await engine.decide(b'{"n": 1}')
    denied = await engine.decide(b'{"n": 2}')
    assert (allowed.verdict, allowed.reasons, allowed.obligations) == (Verdict.ALLOW, (), {"note": "x"})
    assert denied.verdict is Verdict.DENY
    assert [(reason.code, reason.message) for reason in denied.reasons] == [("main.no", "No.")]


async def test_each_decision_knows_nothing_of_the_one_before(build: Build) -> None:
    engine = await build(f"{DENY}\n\n{ALLOW_ONE}")
    verdicts = [(await engine.decide(json.dumps({"n": n}).encode())).verdict for n in (1, 2, 1, 3, 1)]
    assert verdicts == ["allow", "deny", "allow", "deny", "allow"]


async def test_names_its_bundle_by_digest(build: Build) -> None:
    first, same, other = await build(DENY), await build(DENY), await build(f"{DENY}\n\n{ALLOW_ONE}")
    assert first.bundle.startswith("sha256:")
    assert len(first.bundle) == len("sha256:") + 64
    assert first.bundle == same.bundle != other.bundle


async def test_is_ready_when_it_can_be_asked(build: Build) -> None:
    health = (await build(DENY)).health()
    assert health.ready
    assert health.detail


@pytest.mark.parametrize(
    "answer",
    [
        "true",
        '"allow"',
        "1",
        "null",
        "[]",
        '["allow"]',
        "{}",
        '{"allow": true}',
        '{"allow": false}',
        '{"verdict": "allow"}',
        '{"verdict": "allow", "reasons": []}',
        '{"verdict": "allow", "reasons": [], "obligations": []}',
        '{"verdict": "allow", "reasons": {}, "obligations": {}}',
        '{"verdict": "allow", "reasons": [], "obligations": {}, "more": 1}',
        '{"verdict": "ALLOW", "reasons": [], "obligations": {}}',
        '{"verdict": true, "reasons": [], "obligations": {}}',
        '{"verdict": ["allow"], "reasons": [], "obligations": {}}',
        '{"verdict": "deny", "reasons": [], "obligations": {}}',
        '{"verdict": "hold", "reasons": [], "obligations": {}}',
        '{"verdict": "deny", "reasons": ["no"], "obligations": {}}',
        '{"verdict": "deny", "reasons": [{"code": "a.b"}], "obligations": {}}',
        '{"verdict": "deny", "reasons": [{"code": 1, "message": "m"}], "obligations": {}}',
    ],
)
async def test_an_answer_of_another_shape_is_no_answer(build: Build, answer: str) -> None:
    engine = await build(f"decision := {answer}")
    with pytest.raises(PolicyUnavailable) as caught:
        await engine.decide(b"{}")
    assert caught.value.kind == "shape"


async def test_an_undefined_answer_is_no_answer(build: Build) -> None:
    engine = await build(ALLOW_ONE)
    with pytest.raises(PolicyUnavailable) as caught:
        await engine.decide(b'{"n": 2}')
    assert caught.value.kind == "undefined"


async def test_a_policy_of_several_minds_gives_no_answer(build: Build) -> None:
    other = ALLOW_ONE.replace('"x"', '"y"')
    engine = await build(f"{ALLOW_ONE}\n\n{other}")
    with pytest.raises(PolicyUnavailable):
        await engine.decide(b'{"n": 1}')


@pytest.mark.parametrize(
    "document", [b"", b"{", b"nope", b"\xff\xfe", b'{"n": 1} extra', b"[" * 500 + b"]" * 500, b'"\xed\xa0\x80"']
)
async def test_what_is_no_json_is_not_decided(build: Build, document: bytes) -> None:
    engine = await build(f"{DENY}\n\n{ALLOW_ONE}")
    with pytest.raises(PolicyUnavailable):
        await engine.decide(document)
    assert (await engine.decide(b'{"n": 1}')).verdict is Verdict.ALLOW, "the engine goes on afterwards"


async def test_a_document_beyond_the_size_is_not_decided(build: Build) -> None:
    engine = await build(DENY)
    with pytest.raises(PolicyUnavailable) as caught:
        await engine.decide(b'"' + b"x" * 20_000_000 + b'"')
    assert caught.value.kind == "input"


async def test_a_decision_that_takes_too_long_is_stopped(build: Build) -> None:
    pairs = "some a in input.many\n\tsome b in input.many\n\ta + b == -1"
    engine = await build(f"decision := {{}} if {{\n\t{pairs}\n}}")
    with pytest.raises(PolicyUnavailable):
        await engine.decide(json.dumps({"many": list(range(500))}).encode())


async def test_padded_amounts_of_256_bit_are_compared_exactly(build: Build) -> None:
    within = 'decision := {"verdict": "allow", "reasons": [], "obligations": {}} if input.a <= input.b'
    engine = await build(f"{DENY}\n\n{within}")
    for cap in (2**53, 2**63, 2**64, 2**200, 2**256 - 2):
        verdicts = [
            (await engine.decide(json.dumps({"a": f"{amount:078d}", "b": f"{cap:078d}"}).encode())).verdict
            for amount in (cap - 1, cap, cap + 1)
        ]
        assert verdicts == ["allow", "allow", "deny"]
