"""Calls of tools on MCP servers, normalised. What a tool says of itself is for its facts, never for its arguments."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec

from safebox.firewall.behaviour.confusable import confusable
from safebox.firewall.core.arguments import BODY_MAX, Outgoing
from safebox.firewall.core.mandate import McpGrant
from safebox.firewall.errors import CallerError

NAME_MAX: Final = 128
"""The specification asks for at most 128 characters in a tool's name."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_MAX)]


class AskMcp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool call as a gateway reads it."""

    server: Name
    tool: Name
    arguments: dict[str, Any] = {}


class CallMcp(Outgoing, frozen=True, forbid_unknown_fields=True):
    """A tool call. The arguments are kept as one canonical JSON text, so that no engine rounds a number in them."""

    server: Name
    tool: Name
    arguments: str
    arguments_bytes: int
    arguments_digest: str

    def payload(self) -> bytes:
        """What leaves with it."""
        return self.arguments.encode()

    def payload_to(self) -> tuple[str, ...]:
        """Where it goes."""
        return (f"mcp:{self.server}",)


def normalise_mcp(ask: AskMcp) -> CallMcp:
    """Write the arguments down in one way.

    Raises:
        CallerError: if they are too large to be judged whole.
    """
    arguments = msgspec.json.encode(ask.arguments, order="deterministic")
    if len(arguments) > BODY_MAX:
        raise CallerError("the arguments are too large", code="request.too_large")
    return CallMcp(
        server=ask.server,
        tool=ask.tool,
        arguments=arguments.decode(),
        arguments_bytes=len(arguments),
        arguments_digest="sha256:" + hashlib.sha256(arguments).hexdigest(),
    )


def mcp_facts(call: CallMcp, grant: McpGrant | None, learned: Mapping[str, Any] | None) -> dict[str, Any]:
    """`facts.mcp`: what the tool's description is now and was when it was approved, and which name it imitates.

    `learned` has `description_digest`, `pinned_digest`, `hidden_text` and `tools`, the names the server offers now.
    """
    known = learned or {}
    servers = () if grant is None else grant.servers
    listed = {tool for server in servers if server.name == call.server for tool in server.tools}
    offered: Sequence[str] = known.get("tools") or ()
    tool = confusable(call.tool, sorted(listed | set(offered)))
    return {
        "description_digest": known.get("description_digest"),
        "pinned_digest": known.get("pinned_digest"),
        "hidden_text": known.get("hidden_text"),
        "confusable": tool or confusable(call.server, sorted(server.name for server in servers)),
    }
