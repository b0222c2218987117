"""JSON of others, hostile or plain."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from safebox.agents.jsontext import MAX_DEPTH, parse

HOSTILE = ["[" * 200_000, '{"a":' * 200_000, '["]",' * 200_000, '"' + "\\\\" * 200_000, '"\\' * 200_000]


@pytest.mark.parametrize("text", ["{}", "[]", '{"a": ["]", "[[[[", {"b": "\\"["}]}', "7", '"\\\\"', ' [1, "ü"] '])
def test_plain_documents_are_parsed_as_ever(text: str) -> None:
    assert parse(text) == json.loads(text)
    assert parse(text.encode()) == json.loads(text)


def test_brackets_in_a_string_are_no_nesting() -> None:
    text = json.dumps({"body": "[{" * 10_000 + '"' + "\\" * 11})
    assert parse(text) == json.loads(text)


def test_the_depth_is_bounded_exactly() -> None:
    assert parse("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    with pytest.raises(ValueError, match="nested"):
        parse("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
    assert parse("[" + ",".join(["[]"] * 1000) + "]")


@pytest.mark.parametrize("text", [*HOSTILE, "", "{", "]" * 1000, b"\xff", '"', "NaN}"], ids=range(11))
@pytest.mark.timeout(20)  # anything but linear time would take minutes
def test_what_is_no_json_is_a_value_error_soon(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_brackets_don_t_end_a_process_whose_recursion_limit_was_raised() -> None:
    code = (
        "import sys; sys.setrecursionlimit(1_000_000)\n"
        "from safebox.agents.jsontext import parse\n"
        "try: parse('[' * 1_000_000)\n"
        "except ValueError as error: print(error)"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output == f"nested more than {MAX_DEPTH} deep\n"
