"""The tools there are: name, kind, effects, who may ask, and how the asked-for arguments become normal ones.

One table for everything that wants to know: the pipeline, the tools gateway's schemas, the documentation.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Container
from typing import Any, Final, cast

import msgspec

from safebox.firewall.core import arguments as a
from safebox.firewall.core import calls, costs, lineage, mcp, signing, web, x402
from safebox.firewall.core.money import Amount, decode_amount
from safebox.firewall.errors import CallerError


class Caller(enum.StrEnum):
    """Who asks: the agent inside the sandbox, or the owner (the firewall on the owner's behalf)."""

    AGENT = "agent"
    OWNER = "owner"


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can be asked for.

    `asked` is the type the agent's JSON must have, `normalise` makes the arguments that are judged and acted on,
    and `normal` is their type (for reading them back from the ledger). `view` is what policy and ledger see of them.
    `ordered` tools act in the order they were decided, one at a time within a run (a wallet's nonces; how many
    instances run). `turn` names the connector whose budget or nonces it shares, where that is not its own.
    """

    name: str
    kind: str
    effects: tuple[str, ...]
    connector: str
    asked: Any
    normal: Any
    normalise: Callable[[Any], Any] = lambda asked: asked
    view: Callable[[Any], Any] = lambda args: args
    caller: Caller = Caller.AGENT
    owner_too: bool = False
    listed: bool = True
    ordered: bool = False
    turn: str = ""
    description: str = ""

    def parse(self, raw: Any) -> Any:
        """Turn parsed JSON into normal arguments.

        Raises:
            CallerError: if a field is missing, unknown, of another type or out of bounds.
        """
        try:
            asked = msgspec.convert(raw, self.asked, strict=True, dec_hook=decode_amount)
        except msgspec.ValidationError as error:
            raise CallerError(f"{self.name}: {error}") from error
        return self.normalise(asked)

    def recall(self, view: Any) -> Any:
        """Read arguments back from what the ledger kept; a view that leaves something out is given as it is."""
        try:
            return msgspec.convert(view, self.normal, strict=True, dec_hook=decode_amount)
        except msgspec.ValidationError:
            return view

    @property
    def callers(self) -> tuple[Caller, ...]:
        """Who may ask: with `owner_too`, the owner beside the agent, to take back what a run that ends has left."""
        return (self.caller, Caller.OWNER) if self.owner_too else (self.caller,)

    @property
    def reads_only(self) -> bool:
        """Whether nothing outside changes."""
        return self.effects == ("read",)

    @property
    def moves_wallet(self) -> bool:
        """Whether value leaves or enters a run's wallet."""
        return self.connector in ("chain", "signing") and "value" in self.effects

    @property
    def queue(self) -> str:
        """What is decided in one queue is decided one after the other, on one budget."""
        return self.turn or self.connector


TOOLS: Final[dict[str, Tool]] = {
    tool.name: tool
    for tool in (
        Tool(
            name="email.send", kind="email", effects=("outward",), connector="mail",
            asked=a.SendEmail, normal=a.SendEmail, normalise=a.normalise_email,
            view=a.view_email,
            description="Send an e-mail to one or more addresses.",
        ),
        Tool(
            name="email.list", kind="email_read", effects=("read",), connector="mail",
            asked=a.Nothing, normal=a.Nothing, description="List the messages in the inbox.",
        ),
        Tool(
            name="email.read", kind="email_read", effects=("read",), connector="mail",
            asked=a.ReadEmail, normal=a.ReadEmail, description="Read one message of the inbox by its id.",
        ),
        Tool(
            name="wallet.transfer", kind="transfer", effects=("value", "outward"), connector="chain",
            asked=a.AskTransfer, normal=a.Transfer, normalise=a.normalise_transfer,
            ordered=True,
            description="Pay an address from this run's wallet. Write the amount with its unit, as in '0.1 ETH'.",
        ),
        Tool(
            name="wallet.balance", kind="wallet_read", effects=("read",), connector="chain",
            asked=a.Nothing, normal=a.Nothing, description="This run's wallet address and balance.",
        ),
        Tool(
            name="wallet.quote", kind="wallet_read", effects=("read",), connector="chain",
            asked=a.AskTransfer, normal=costs.QuoteTransfer, normalise=costs.normalise_quote,
            description="What a transfer would cost now, its fee at worst included, and whether the wallet holds that "
            "much. Pays nothing, and does not say whether the transfer would be allowed.",
        ),
        Tool(
            name="wallet.fund", kind="funding", effects=("value",), connector="chain", caller=Caller.OWNER,
            asked=a.MoveFunds, normal=a.MoveFunds, listed=False, ordered=True,
        ),
        Tool(
            name="wallet.sweep", kind="funding", effects=("value",), connector="chain", caller=Caller.OWNER,
            asked=a.MoveFunds, normal=a.MoveFunds, listed=False, ordered=True,
        ),
        Tool(
            name="compute.start", kind="compute", effects=("value", "outward"), connector="compute",
            asked=a.StartCompute, normal=a.StartCompute, ordered=True,
            description="Rent a container: an image and a command, for some minutes. `input` is at /job/input inside.",
        ),
        Tool(
            name="compute.status", kind="compute_read", effects=("read",), connector="compute",
            asked=a.Instance, normal=a.Instance, description="State and output of a rented container.",
        ),
        Tool(
            name="compute.stop", kind="compute_stop", effects=("release",), connector="compute",
            owner_too=True, asked=a.Instance, normal=a.Instance,
            description="Stop a rented container and settle its price.",
        ),
        Tool(
            name="inference.chat", kind="inference", effects=("value", "outward"), connector="inference",
            asked=dict[str, Any], normal=a.Chat, normalise=a.normalise_chat,
            view=a.view_chat, listed=False,
        ),
        Tool(
            name="run.start", kind="launch", effects=("outward",), connector="launch", caller=Caller.OWNER,
            asked=a.StartRun, normal=a.StartRun, listed=False,
        ),
        Tool(
            name="wallet.approve", kind="token_approval", effects=("value", "outward"), connector="signing",
            asked=signing.AskApproval, normal=signing.Approve, normalise=signing.normalise_approval,
            listed=False, ordered=True, turn="chain",
        ),
        Tool(
            name="wallet.call", kind="contract_call", effects=("value", "outward"), connector="chain",
            asked=calls.AskCall, normal=calls.CallContract, normalise=calls.normalise_call,
            listed=False, ordered=True,
        ),
        Tool(
            name="wallet.sign_typed_data", kind="signature", effects=("value", "outward"), connector="signing",
            asked=signing.AskTypedData, normal=signing.SignTypedData, normalise=signing.normalise_typed_data,
            listed=False, turn="chain",
        ),
        Tool(
            name="wallet.sign_message", kind="signature", effects=("value", "outward"), connector="signing",
            asked=signing.AskMessage, normal=signing.SignMessage, normalise=signing.normalise_message,
            listed=False, turn="chain",
        ),
        Tool(
            name="wallet.pay_request", kind="payment", effects=("value", "outward"), connector="signing",
            asked=x402.AskPayRequest, normal=x402.PayRequest, normalise=x402.normalise_pay_request, turn="chain",
            description="Pay what a server asks for with HTTP 402 (x402): pass one element of its `accepts` as it is. "
            "You get the header to send with the same request.",
        ),
        Tool(
            name="web.request", kind="web", effects=("outward",), connector="web",
            asked=web.AskWeb, normal=web.WebRequest, normalise=web.normalise_web, listed=False,
        ),
        Tool(
            name="mcp.call", kind="mcp", effects=("outward",), connector="mcp",
            asked=mcp.AskMcp, normal=mcp.CallMcp, normalise=mcp.normalise_mcp, listed=False,
        ),
        Tool(
            name="agent.spawn", kind="spawn", effects=("value", "outward"), connector="spawn",
            asked=lineage.AskSpawn, normal=lineage.Spawn, normalise=lineage.normalise_spawn,
            ordered=True, turn="compute",
            description="Start a child run: a listed image and command, and its mandate's text, which is a part of "
            "your own. `input` is its /job/input.",
        ),
        Tool(
            name="agent.children", kind="spawn_read", effects=("read",), connector="spawn",
            asked=a.Nothing, normal=a.Nothing,
            description="The child runs that this run has started: their state, how they ended, and what they spent.",
        ),
    )
}  # fmt: skip
"""Every tool by its exact name. `listed` ones are offered over the tools gateway."""


def find_tool(name: str, *, caller: Caller, connectors: Container[str]) -> Tool:
    """Look a tool up by its exact name.

    Raises:
        CallerError: if there is none, not for this caller (to an agent the owner's tools don't exist), or none of the
            `connectors` could do it.
    """
    tool = TOOLS.get(name)
    hidden = tool is None or (tool.caller is Caller.OWNER and caller is not Caller.OWNER)
    if tool is None or hidden or tool.connector not in connectors:
        raise CallerError(f"there is no tool {name[:80]!r}", code="request.unknown_tool")
    return tool


def parameters_schema(tool: Tool) -> dict[str, Any]:
    """The JSON schema of what an agent passes, self-contained (no `$ref`)."""
    (schema,), components = msgspec.json.schema_components([tool.asked], schema_hook=_no_hook)
    inlined: dict[str, Any] = _inline(schema, components)
    return inlined


def _no_hook(kind: type) -> dict[str, Any]:
    if kind is Amount:
        return {"type": "object"}
    raise NotImplementedError(kind.__name__)


def _inline(node: Any, components: dict[str, Any]) -> Any:
    match node:
        case {"$ref": str(reference)}:
            return _inline(components[reference.rsplit("/", 1)[1]], components)
        case dict():
            return {key: _inline(value, components) for key, value in cast("dict[str, Any]", node).items()}
        case list():
            return [_inline(value, components) for value in node]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return node
