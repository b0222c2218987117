"""Names that are made to be mistaken for others are found; names that merely differ are left alone."""

from __future__ import annotations

from typing import Any

import pytest

from safebox.firewall.behaviour.confusable import confusable, hidden_text
from safebox.firewall.core.mandate import McpGrant, McpServer
from safebox.firewall.core.mcp import CallMcp, mcp_facts
from safebox.firewall.core.tools import TOOLS

GRANT = McpGrant(servers=(McpServer(name="files", tools=("read_file", "send")),), per_hour=1)


@pytest.mark.parametrize(
    "name",
    [
        "Read_File", "READ_FILE", "read-file", "read file", "readFile", "read_file ", " read_file", "read__file",
        "re\u0430d_file", "r\u0435ad_file", "read_f\u0456le", "read_fiIe", "read_f1le", "re\u200bad_file",
        "\uff52ead_file", "r\u00e9ad_file", "read.file", "read_\ufb01le",
    ],
)  # fmt: skip
def test_a_name_that_looks_the_same_is_found(name: str) -> None:
    assert confusable(name, ["send", "read_file"]) == "read_file"


@pytest.mark.parametrize("name", ["read_file", "read_files", "write_file", "read", "file_read", ""])
def test_a_name_that_differs_or_is_the_same_is_left_alone(name: str) -> None:
    assert confusable(name, ["send", "read_file"]) is None


@pytest.mark.parametrize("text", ["a\u200bb", "a\U000e0041b", "a\u202eb", "a\ufeffb", "a\x00b", "a\u2028b"])
def test_hidden_characters_are_found(text: str) -> None:
    assert hidden_text(text)


@pytest.mark.parametrize("text", ["", "Reads a file.\n\tGives its text.", "Grüße, 日本語, naïve — 100 %"])
def test_a_text_that_shows_what_it_says_has_none(text: str) -> None:
    assert not hidden_text(text)


def call(server: str, tool: str) -> CallMcp:
    found = TOOLS["mcp.call"].parse({"server": server, "tool": tool, "arguments": {"b": 1, "a": 2**200}})
    assert isinstance(found, CallMcp)
    return found


def test_facts_say_which_listed_or_offered_name_is_imitated() -> None:
    assert mcp_facts(call("files", "Send"), GRANT, None)["confusable"] == "send"
    assert mcp_facts(call("Files", "x"), GRANT, None)["confusable"] == "files"
    assert mcp_facts(call("files", "send"), GRANT, {"tools": ["send", "Send"]})["confusable"] == "Send"
    assert mcp_facts(call("files", "send"), GRANT, {"tools": ["send", "read_file"]})["confusable"] is None


def test_what_is_not_known_of_a_tool_is_null() -> None:
    facts = mcp_facts(call("files", "send"), None, None)
    assert facts == {"description_digest": None, "pinned_digest": None, "hidden_text": None, "confusable": None}
    known: dict[str, Any] = {"description_digest": "d", "pinned_digest": "p", "hidden_text": False, "tools": []}
    assert mcp_facts(call("files", "send"), GRANT, known)["pinned_digest"] == "p"


def test_arguments_are_one_canonical_text() -> None:
    found = call("files", "send")
    assert found.arguments == '{"a":' + str(2**200) + ',"b":1}'
    assert found.payload() == found.arguments.encode()
