"""Counting values before parsing them."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.errors import CallerError
from safebox.firewall.gateways.body import check_size, read_json
from safebox.firewall.gateways.gate import Gate
from safebox.firewall.gateways.limits import VALUES_MAX

MANY = 4 * VALUES_MAX


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"[]," * MANY + b"[]]",
        b"[" + b"{}," * MANY + b"{}]",
        b"[" + b"1," * MANY + b"1]",
        b'["' + b'","' * MANY + b'"]',
        b'["' + b'\\\\","' * MANY + b'"]',
        b"[" * MANY,
    ],
)
async def test_a_body_of_very_many_values_is_refused_unparsed(body: bytes) -> None:
    with pytest.raises(CallerError) as caught:
        await read_json(body, Gate())
    assert caught.value.code == "request.too_large"


@pytest.mark.parametrize("text", ["one, two, " * MANY, '[{"' * MANY, "\\" * MANY, 'say "hi", ' * MANY, "\n,\t" * MANY])
async def test_a_long_text_is_read_however_many_commas_and_quotes_are_in_it(text: str) -> None:
    assert await read_json(json.dumps({"body": text}).encode(), Gate()) == {"body": text}


@given(st.lists(st.text(alphabet='",[]{}\\a', max_size=20), max_size=20))
def test_what_is_inside_strings_never_counts(texts: list[str]) -> None:
    check_size(json.dumps([*texts, ",[{" * (VALUES_MAX + 1)]).encode())


@pytest.mark.parametrize("length", [300, 5_000, 19_000])
@pytest.mark.parametrize("opener", [b"[", b'{"a":', b'["[",[', b"[[],"])
async def test_deep_nesting_never_reaches_the_parser(
    monkeypatch: pytest.MonkeyPatch, opener: bytes, length: int
) -> None:
    parsed: list[bytes] = []
    monkeypatch.setattr("safebox.firewall.gateways.body.parse_json", lambda body, **_: parsed.append(body))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    with pytest.raises(CallerError):
        await read_json(opener * length, Gate())
    assert parsed == []


async def test_many_brackets_side_by_side_are_fine() -> None:
    assert len(await read_json(b"[" + b"[1]," * 1000 + b"[1]]", Gate())) == 1001


async def test_large_bodies_of_one_run_take_turns() -> None:
    gate = Gate()
    body = json.dumps({"body": "x" * 100_000}).encode()
    async with gate.large:
        waiting = asyncio.ensure_future(read_json(body, gate))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        assert await read_json(b"{}", gate) == {}
    assert (await waiting)["body"] == "x" * 100_000
