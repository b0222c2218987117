"""`safebox approvals show`: one held action, whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from safebox.firewall.errors import ConfigError
from safebox.sandbox.cli.console import print_json, say

if TYPE_CHECKING:
    from safebox.firewall.control.client import ControlClient

HOLD_LENGTH = 30
"""Letters of a whole name: `dec_` and 26."""


def approvals_show(
    hold: Annotated[str, typer.Argument(metavar="HOLD", help="Its name, or the end of it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show exactly what would be done, for whom, at what price, and who said what about it so far."""
    from safebox.sandbox.cli.state import connect

    with connect() as client:
        found = ask(client, hold)
    if as_json:
        print_json(found)
    else:
        tell(found)


def ask(client: ControlClient, named: str) -> dict[str, Any]:
    """What the firewall knows of the one hold that was meant.

    Raises:
        ConfigError: if none or several could be meant.
        ControlError: if there is none of this name.
    """
    name = named
    if len(named) != HOLD_LENGTH or not named.startswith("dec_"):
        known = [str(each["hold"]) for each in client.request("approvals", all=True)["holds"]]
        found = [each for each in known if named and each.endswith(named.lower())]
        if len(found) != 1:
            raise ConfigError(
                f"{'several holds end' if found else 'no hold ends'} with {named!r}",
                remedy="safebox approvals list shows them",
                code="config.no_hold",
            )
        name = found[0]
    return client.request("approval", hold=name)


def tell(found: dict[str, Any]) -> None:
    """Print a hold, a line for each thing there is to know; long ones are wrapped on a terminal."""
    import textwrap

    from safebox.sandbox.cli.console import is_rich
    from safebox.sandbox.cli.display import terminal_width
    from safebox.sandbox.cli.hold_words import rows

    shown = list(rows(found))
    width = max(len(name) for name, _ in shown)
    for name, text in shown:
        if is_rich():
            lines = textwrap.wrap(text, max(40, terminal_width() - width - 3)) or [""]
            say(f"\x1b[1m{name:{width}}\x1b[0m  " + f"\n{' ' * (width + 2)}".join(lines))
        else:
            say(f"{name:{width}}  {text}".rstrip())
