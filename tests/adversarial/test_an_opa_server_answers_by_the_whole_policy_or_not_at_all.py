"""An OPA server answers by the whole policy that is in force, or not at all; whatever becomes of it, it comes back."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from safebox.firewall.core.decision import ANSWER_BYTES_MAX
from safebox.firewall.engines import opa as module
from safebox.firewall.engines.bundle import Bundle, Module, load_bundle, pack_folder
from safebox.firewall.engines.opa import DECIDE_SECONDS, OpaEngine, OpaPlace
from safebox.firewall.engines.opa_address import Address, parse_address
from safebox.firewall.engines.opa_load import GATE, PREFIX, load, prepare
from safebox.firewall.engines.opa_server import OWNED, OpaServer
from safebox.firewall.engines.reload import Reload, ReloadingEngine
from safebox.firewall.errors import ConfigError, PolicyUnavailable
from tests.opa import Opa, opa_server
from tests.unit.policy import cases

pytestmark = pytest.mark.opa

PATIENCE = 30.0
MAIN = PREFIX + "safebox/main/main.rego"
GOOD = cases.encode(cases.good()["email.send"])
ALLOW_ALL = 'package safebox.main\n\ndecision := {"verdict": "allow", "reasons": [], "obligations": {}}\n'
NO = '{"code": "site.no", "message": "No."}'


@pytest.fixture(params=[False, True], ids=["port", "socket"])
def opa(request: pytest.FixtureRequest) -> Iterator[Opa]:
    with opa_server(unix=request.param) as server:
        yield server


@pytest.fixture
async def place(opa: Opa) -> AsyncGenerator[OpaPlace]:
    made = OpaPlace(opa.address)
    yield made
    await made.close()


def pack() -> Bundle:
    return load_bundle([pack_folder()])


async def verdict(engine: OpaEngine | ReloadingEngine, document: bytes = GOOD) -> str:
    """What it says; the kind of failure where it says nothing."""
    try:
        return (await engine.decide(document)).verdict
    except PolicyUnavailable as error:
        return error.kind


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    end = time.monotonic() + PATIENCE
    while not await look():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def comes_back(engine: OpaEngine) -> None:
    async def allows() -> bool:
        return await verdict(engine) == "allow" and engine.health().ready

    await until(allows)


async def test_it_judges_like_the_pack(opa: Opa, place: OpaPlace) -> None:
    engine = await place.make(pack())
    assert engine.bundle == pack().digest
    assert engine.health().ready
    assert opa.address in engine.health().detail
    for document in cases.good().values():
        assert await verdict(engine, cases.encode(document)) == "allow"
    assert await verdict(engine, b"{}") == "deny"


async def test_nobody_changes_a_policy_or_a_number_in_it(opa: Opa, place: OpaPlace) -> None:
    engine = await place.make(pack())
    for method, path, body in (
        ("DELETE", f"policies/{MAIN}", None),
        ("PUT", f"policies/{MAIN}", ALLOW_ALL),
        ("PUT", "policies/mine", 'package safebox.site.email\n\nallow contains "x"\n'),
        ("PUT", f"policies/{PREFIX}{GATE}", f"package {GATE}\n"),
        ("PUT", "data/data/limits", {"rate": 1}),
        ("DELETE", "data/data", None),
        ("PUT", "data", {"data": 1}),
    ):
        status, said = opa.call(method, path, body)
        assert status == 400, (path, said)
    assert await verdict(engine) == "allow"


async def test_who_takes_the_lock_off_first_closes_the_gate(opa: Opa, place: OpaPlace) -> None:
    engine = await place.make(pack())
    opa.call("DELETE", f"data/{OWNED}")
    assert await verdict(engine) == "missing"
    opa.call("PUT", f"policies/{MAIN}", ALLOW_ALL)
    assert await verdict(engine) in ("missing", "allow")
    await comes_back(engine)
    assert await verdict(engine, b"{}") == "deny", "the policy itself is in force again, not the other one"


async def test_a_policy_that_was_deleted_is_there_again(opa: Opa, place: OpaPlace) -> None:
    engine = await place.make(pack())
    opa.call("DELETE", f"data/{OWNED}")
    opa.call("DELETE", f"policies/{PREFIX}{GATE}")
    assert opa.call("DELETE", f"policies/{MAIN}")[0] == 200
    assert await verdict(engine) == "missing"
    await comes_back(engine)
    assert MAIN in {each["id"] for each in opa.call("GET", "policies")[1]["result"]}


async def test_one_that_restarted_empty_is_loaded_again(opa: Opa, place: OpaPlace) -> None:
    engine = await place.make(pack())
    opa.kill()
    assert await verdict(engine) == "unreachable"
    await asyncio.sleep(2 * module.KEEP_SECONDS)
    assert not engine.health().ready
    assert opa.address in engine.health().detail
    opa.start()
    assert await verdict(engine) in ("missing", "unreachable", "allow")
    await comes_back(engine)


async def test_one_that_restarted_with_another_policy_is_loaded_again(
    opa: Opa, place: OpaPlace, tmp_path: Path
) -> None:
    engine = await place.make(pack())
    opa.kill()
    other = tmp_path / "other.rego"
    other.write_text(ALLOW_ALL)
    opa.start(str(other))
    assert await verdict(engine, b"{}") in ("missing", "unreachable")
    await comes_back(engine)
    assert await verdict(engine, b"{}") == "deny"


async def test_one_that_owns_another_bundle_is_told_of_and_not_asked(opa: Opa, place: OpaPlace, tmp_path: Path) -> None:
    engine = await place.make(pack())
    opa.kill()
    (tmp_path / "other.rego").write_text(ALLOW_ALL)
    opa.start("--bundle", str(tmp_path))

    async def told() -> bool:
        assert await verdict(engine, GOOD) in ("missing", "unreachable")
        return "owned by bundle" in engine.health().detail

    await until(told)
    assert not engine.health().ready


async def test_one_that_stands_still_costs_a_second_and_no_yes(opa: Opa, place: OpaPlace) -> None:
    engine = await place.make(pack())
    opa.halt()
    started = time.perf_counter()
    assert await verdict(engine) == "timeout"
    assert time.perf_counter() - started < 3 * DECIDE_SECONDS
    await asyncio.sleep(module.KEEP_SECONDS + 2 * DECIDE_SECONDS)
    assert not engine.health().ready
    opa.send(signal.SIGCONT)
    await comes_back(engine)


async def test_it_may_come_after_the_firewall() -> None:
    with opa_server(running=False) as opa:
        place = OpaPlace(opa.address)
        engine = await place.make(pack())
        assert not engine.health().ready
        assert await verdict(engine) == "unreachable"
        opa.start()
        await comes_back(engine)
        await place.close()


async def test_what_it_does_not_compile_is_refused_and_the_one_before_goes_on(opa: Opa, place: OpaPlace) -> None:
    engine = await place.make(pack())
    with pytest.raises(PolicyUnavailable) as caught:
        await place.make(cases.with_site(f"deny contains {NO} if count(1) > 2"))
    assert caught.value.kind == "broken"
    assert "1/safebox/site/all/all.rego:3" in caught.value.cause
    assert await verdict(engine) == "allow"
    assert engine.health().ready


async def test_what_says_yes_to_nothing_is_refused_there_too(opa: Opa, place: OpaPlace) -> None:
    with pytest.raises(PolicyUnavailable, match="says allow to"):
        await place.make(cases.alone(ALLOW_ALL.partition("\n\n")[2]))


async def test_functions_may_change_hands_between_two_policies(opa: Opa, place: OpaPlace) -> None:
    """In no order of single changes would both the old and the new caller have their function."""
    for name in ("old", "new", "old"):
        caller = f"deny contains {NO} if data.lib.{name}(1) == 2"
        lib = Module("1/lib/lib.rego", f"package lib\n\n{name}(x) := x\n")
        bundle = cases.with_site(caller)
        engine = await place.make(cases.bundle_of(bundle.data, *bundle.modules, lib))
        assert await verdict(engine) == "allow"


async def test_a_question_meanwhile_is_answered_by_one_of_the_two(opa: Opa, tmp_path: Path) -> None:
    """The mail is allowed by the old policy, denied by the new one, and never with a reason of neither."""
    folder = cases.copy_pack(tmp_path)
    told: list[Reload] = []
    engine = ReloadingEngine([folder], place=OpaPlace(opa.address), observe=told.append)
    await engine.start()
    old, seen = engine.bundle, set[tuple[str, str]]()
    limits = folder / "data/limits/data.json"
    limits.write_text(limits.read_text().replace('"denials_in_ten_minutes": 5', '"denials_in_ten_minutes": 0'))

    async def ask() -> None:
        while engine.bundle == old:
            with suppress(PolicyUnavailable):
                seen.add(((await engine.decide(GOOD)).verdict, engine.bundle))
            await asyncio.sleep(0.001)
        seen.add(((await engine.decide(GOOD)).verdict, engine.bundle))

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(ask() for _ in range(8)))
    await engine.stop()
    assert seen == {("allow", old), ("deny", engine.bundle)}
    assert [each.result for each in told] == ["activated", "activated"]


async def test_two_firewalls_that_fight_over_one_are_never_answered_by_the_others_policy(opa: Opa) -> None:
    strict = cases.with_site(f"deny contains {NO} if input.action.tool")
    places = [OpaPlace(opa.address), OpaPlace(opa.address)]
    engines = await asyncio.gather(
        *(place.make(bundle) for place, bundle in zip(places, (pack(), strict), strict=True))
    )
    seen: set[tuple[int, str]] = set()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        seen |= {(number, await verdict(engine)) for number, engine in enumerate(engines)}
        await asyncio.sleep(0.01)
    for place in places:
        await place.close()
    assert seen <= {(0, "allow"), (0, "missing"), (1, "deny"), (1, "missing")}, seen


async def test_a_load_that_is_cut_off_answers_nothing(opa: Opa, place: OpaPlace) -> None:
    """Before each of its calls in turn, over a server that held the very same policy."""
    engine = OpaEngine(place, pack())
    await load(place.server, pack())
    whole, calls = False, 0
    while not whole:
        server = _CutOff(opa.address, calls)
        with suppress(_Cut):
            await load(server, pack())
            whole = True
        await server.close()
        assert await verdict(engine) == ("allow" if whole or calls == 0 else "missing"), calls
        await load(place.server, pack())
        calls += 1
    assert calls > len(("lock", "gate", "list", "data", "gate", "lock", "compare", "open"))


class _Cut(Exception):
    """The firewall ended here."""


class _CutOff(OpaServer):
    def __init__(self, address: str, calls: int) -> None:
        super().__init__(address)
        self._left = calls

    async def _called(self, call: Awaitable[object]) -> object:  # type: ignore[override]
        if self._left == 0:
            asyncio.ensure_future(call).cancel()
            raise _Cut
        self._left -= 1
        return await super()._called(call)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"deny contains {NO} if data.nobody.knows", "data.nobody.knows is not of this bundle"),
        (f"deny contains {NO} if count(data) > 5", "data is not of this bundle"),
        (f"deny contains {NO} if data[input.which].x", "data is not of this bundle"),
    ],
)
def test_what_else_a_server_holds_can_not_be_seen(text: str, why: str) -> None:
    with pytest.raises(PolicyUnavailable) as caught:
        prepare(cases.with_site(text))
    assert caught.value.cause.startswith("1/safebox/site/all/all.rego:3: ")
    assert why in caught.value.cause


@pytest.mark.parametrize("package", ["system.authz", "system.log", GATE])
def test_packages_that_would_rule_the_server_are_refused(package: str) -> None:
    with pytest.raises(PolicyUnavailable, match="is not for policies"):
        prepare(cases.with_module("1/x.rego", f"package {package}\n\nallow := true\n"))


Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def http(body: bytes, status: str = "200 OK") -> Reply:
    async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    return reply


def named(decision: object = None, bundle: str | None = None, **more: object) -> bytes:
    return json.dumps({"result": {"bundle": bundle or pack().digest, "decision": decision, **more}}).encode()


YES: dict[str, object] = {"verdict": "allow", "reasons": [], "obligations": {}}


async def silence(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await asyncio.sleep(PATIENCE)


async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _number in range(1000):
        writer.write(b" ")
        await asyncio.sleep(0.1)


async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
        await writer.drain()


async def noise(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(bytes(range(256)) * 40)


@asynccontextmanager
async def somebody(reply: Reply) -> AsyncGenerator[OpaPlace]:
    """A place whose server is no OPA."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            await reply(reader, writer)
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    place = OpaPlace(f"http://127.0.0.1:{port}")
    try:
        yield place
    finally:
        await place.close()
        listener.close()


async def test_the_exact_answer_is_one() -> None:
    async with somebody(http(named(YES))) as place:
        assert await verdict(OpaEngine(place, pack())) == "allow"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (http(b""), "shape"),
        (http(b"true"), "shape"),
        (http(b"[]"), "shape"),
        (http(b"{}"), "missing"),
        (http(b'{"result": true}'), "shape"),
        (http(b'{"result": {}}'), "missing"),
        (http(b'{"result": {"decision": {"verdict": "allow", "reasons": [], "obligations": {}}}}'), "missing"),
        (http(named(YES, "sha256:" + "0" * 64)), "missing"),
        (http(named(YES, pack().digest[:-1])), "missing"),
        (http(named(YES, pack().digest.upper())), "missing"),
        (http(named(YES, more=1)), "shape"),
        (http(named({"verdict": "allow"})), "shape"),
        (http(named(True)), "shape"),
        (http(named("allow")), "shape"),
        (http(named(YES)[:-1] + b',"result":{}}'), "shape"),
        (http(named(YES) + b" more"), "shape"),
        (http(named(YES)[:-9]), "shape"),
        (http(b"[" * 60_000), "shape"),
        (http(b"\xff" + named(YES)), "shape"),
        (http(named(YES), "500 Internal Server Error"), "error"),
        (http(named(YES), "404 Not Found"), "error"),
        (http(b"", "204 No Content"), "error"),
        (http(named({**YES, "obligations": {"x": "y" * ANSWER_BYTES_MAX}})), "shape"),
        (http(b" " * 5_000_000 + named(YES)), "unreachable"),
        (endless, "unreachable"),
        (noise, "unreachable"),
        (trickle, "timeout"),
        (silence, "timeout"),
    ],
)
async def test_whatever_else_is_answered_is_no_answer(reply: Reply, kind: str) -> None:
    async with somebody(reply) as place:
        started = time.perf_counter()
        assert await verdict(OpaEngine(place, pack())) == kind
        assert time.perf_counter() - started < 5 * DECIDE_SECONDS


@pytest.mark.parametrize("reply", [http(b"true"), http(b"{}"), http(b'{"result": [1]}'), noise, http(b"[" * 60_000)])
async def test_what_is_no_opa_is_not_loaded_and_said(reply: Reply) -> None:
    async with somebody(reply) as place:
        engine = await place.make(pack())
        assert not engine.health().ready
        assert "OPA server at http://127.0.0.1" in engine.health().detail


async def test_a_slow_policy_is_cut_off(opa: Opa, place: OpaPlace) -> None:
    pairs = "\n".join(f"\tsome x{n} in input.many" for n in range(4))
    slow = cases.alone(f"decision := {{}} if {{\n{pairs}\n\tx0 + x1 + x2 + x3 == -1\n}}")
    await load(place.server, slow)
    started = time.perf_counter()
    assert await verdict(OpaEngine(place, slow), cases.encode({"many": list(range(300))})) == "timeout"
    assert time.perf_counter() - started < 3 * DECIDE_SECONDS
    assert await verdict(OpaEngine(place, slow), b'{"many": [1]}') == "undefined", "the server goes on afterwards"


@pytest.mark.parametrize("document", [b'1},"input":{"n":1', b"{}}", b"{} //", b'{"a":1}\n{"b":2}', b"NaN", b""])
async def test_a_question_says_nothing_beside_itself(opa: Opa, place: OpaPlace, document: bytes) -> None:
    engine = await place.make(pack())
    assert await verdict(engine, document) == "input"


def test_an_address_is_of_this_machine() -> None:
    assert parse_address("http://127.0.0.1:8181") == Address("127.0.0.1", 8181)
    assert parse_address("http://localhost") == Address("localhost", 8181)
    assert parse_address("http://[::1]:99/") == Address("[::1]", 99)
    assert parse_address("unix:/run/opa.sock") == Address(socket="/run/opa.sock")
    assert parse_address("unix:///run/opa.sock") == Address(socket="/run/opa.sock")


@pytest.mark.parametrize(
    "text",
    [
        "", "8181", "127.0.0.1:8181", "https://127.0.0.1:8181", "http://10.0.0.1:8181", "http://opa:8181",
        "http://127.0.0.1.example.org", "http://127.0.0.1:8181/v1", "http://me:secret@127.0.0.1", "http://127.0.0.1:x",
        "http://0.0.0.0:8181", "unix:", "unix:opa.sock", "http://[::2]:1", "http://[", "http://127.0.0.1:8181?x=1",
    ],
)  # fmt: skip
def test_any_other_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address(text)
    assert caught.value.remedy
