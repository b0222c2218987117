"""Payloads come apart, and none is worked on for longer than its size allows."""

from __future__ import annotations

import base64
import gzip
import io
import random
import zipfile
import zlib
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebox.firewall.behaviour.unwrap import PAYLOAD_BYTES_MAX, unwrap
from safebox.firewall.behaviour.work import DEPTH_MAX, OUTPUT_BYTES_MAX
from tests.unit.behaviour.samples import AGENT, HARMLESS
from tests.unit.behaviour.wrappers import ANY_BYTES, wrap

MEGABYTE: Final = 1 << 20


@pytest.mark.parametrize("wrapper", ANY_BYTES)
def test_what_was_wrapped_comes_out_line_by_line(wrapper: str) -> None:
    layers = unwrap(wrap(AGENT, [wrapper])).layers
    lines = AGENT.splitlines()
    assert (
        sum(any(line in layer for layer in layers) for line in lines) >= len(lines) - 3
    )  # those with escapes of their own


@pytest.mark.parametrize("what", HARMLESS)
def test_ordinary_mail_is_looked_at_wholly(what: str) -> None:
    unwrapped = unwrap(HARMLESS[what])
    assert not unwrapped.truncated
    assert unwrapped.opaque == 0


def test_a_bomb_is_cut_off_and_reported() -> None:
    bomb = gzip.compress(bytes(64 * MEGABYTE))
    unwrapped = unwrap(bomb)
    assert unwrapped.truncated
    assert sum(map(len, unwrapped.layers)) <= 2 * OUTPUT_BYTES_MAX


def test_a_bomb_in_an_archive_is_cut_off_and_reported() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(8):
            archive.writestr(str(number), bytes(4 * MEGABYTE))
    assert unwrap(file.getvalue()).truncated


def test_more_wrappers_than_anybody_needs_are_reported() -> None:
    payload = AGENT
    for _ in range(DEPTH_MAX + 2):
        payload = gzip.compress(payload)
    assert unwrap(payload).truncated


def test_an_encrypted_archive_member_is_reported() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("main.py", AGENT)
    locked = bytearray(file.getvalue())
    locked[6] |= 1
    assert unwrap(bytes(locked)).truncated


def test_an_archive_with_a_forged_directory_is_read_all_the_same() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("main.py", AGENT)
    headless = file.getvalue().split(b"PK\x01\x02")[0]
    assert AGENT in unwrap(headless).layers


def test_a_stream_with_a_broken_end_gives_what_it_has() -> None:
    assert any(layer.startswith(AGENT[:500]) for layer in unwrap(gzip.compress(AGENT * 40)[:-300]).layers)


def test_a_stream_behind_other_bytes_is_found() -> None:
    assert AGENT in unwrap(b"%PDF-1.7 stream\r\n" + zlib.compress(AGENT) + b"\r\nendstream").layers


def test_an_oversized_payload_is_reported() -> None:
    assert unwrap(b"a b\n" * (PAYLOAD_BYTES_MAX // 4 + 1)).truncated


def test_noise_is_counted() -> None:
    noise = random.Random(1).randbytes(20_000)  # noqa: S311
    assert unwrap(noise).opaque == len(noise)
    assert unwrap(base64.b64encode(noise)).opaque >= len(noise) - 3
    assert unwrap(gzip.compress(noise)).opaque == len(noise)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=4000))
def test_no_bytes_make_it_fail(payload: bytes) -> None:
    assert unwrap(payload).layers[0] == payload


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="\\%&=xu0aA+/'\";#\n\x00 PKBZh91é", max_size=400))
def test_no_text_full_of_marks_makes_it_fail(payload: str) -> None:
    assert unwrap(payload.encode()) == unwrap(payload.encode())


def test_wide_text_within_an_archive_is_read() -> None:
    layers = unwrap(wrap(AGENT, ["UTF-16", "tar", "base64"])).layers
    assert any(AGENT[:1000].splitlines()[20] in layer for layer in layers)
