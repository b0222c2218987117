"""What goes to a provider is bounded, what comes back is read strictly, and prices are exact."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.connectors.chat import EVENT_BYTES_MAX, BrokenStreamError, encode, events, usage_of
from safebox.firewall.connectors.prices import ImagePrice, ModelPrice, inference_charges, minutes_of
from tests.unit.connectors.actions import action, units


async def _cut(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def _events(body: bytes, size: int = 7) -> list[bytes]:
    return [event async for event in events(_cut(body, size))]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
async def test_events_are_found_however_the_stream_is_cut(size: int) -> None:
    body = b': hello\n\ndata: {"a":1}\r\n\r\nevent: x\ndata:{"b":2}\n\ndata: [DONE]\n\ndata: {"c":3}\n\n'
    assert await _events(body, size) == [b'{"a":1}', b'{"b":2}']


@pytest.mark.parametrize("body", [b"", b'data: {"a":1}\n\n', b"data: [DON", b"data: " + b"x" * (EVENT_BYTES_MAX + 9)])
async def test_a_stream_without_its_end_is_broken(body: bytes) -> None:
    with pytest.raises(BrokenStreamError):
        await _events(body, 65536)


def test_usage_is_always_asked_for_in_a_stream_and_other_options_are_not_passed_on() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream_options": {"include_usage": False}}
    asked = action("inference.chat", body)
    sent = msgspec.json.decode(encode(asked.args, stream=True))
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})
    assert "stream_options" not in msgspec.json.decode(encode(asked.args, stream=False))


@pytest.mark.parametrize("document", [b"[]", b"x", b'{"usage":{"prompt_tokens":-1,"completion_tokens":1}}', b"\xff"])
def test_usage_that_makes_no_sense_is_refused(document: bytes) -> None:
    with pytest.raises(BrokenStreamError):
        usage_of(document)


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.integers(0, 2**40), st.integers(0, 2**40))
def test_a_price_is_exact_and_rounded_up(price_in: int, price_out: int, prompt: int, completion: int) -> None:
    charges = inference_charges(ModelPrice(price_in, price_out), prompt, completion)
    exact = prompt * price_in + completion * price_out
    assert units(charges, "TOKEN") == prompt + completion
    assert 0 <= units(charges, "USD") * 1000 - exact < 1000


@given(st.integers(0, 10**9))
def test_every_started_minute_counts_and_a_start_costs_at_least_one(seconds: int) -> None:
    minutes = minutes_of(seconds)
    assert minutes >= 1
    assert (minutes - 1) * 60 < max(seconds, 1) <= minutes * 60
    assert ImagePrice(per_minute=2, minimum=9).cost(minutes) == max(9, 2 * minutes)
