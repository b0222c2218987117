"""Signing an answer to a held action, and giving it to the firewall: what `approve` and `deny` have in common."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from safebox.firewall.errors import ConfigError
from safebox.sandbox.cli.console import print_json, say
from safebox.sandbox.cli.words import clean

Named = Annotated[str, typer.Argument(metavar="HOLD", help="Its name, or the end of it.")]
KeyFile = Annotated[Path, typer.Option("--key", metavar="FILE", help="Your private key, as approvals keygen made it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def cast_vote(hold: str, key: Path, verdict: Literal["approve", "deny"], *, as_json: bool) -> None:
    """Show what is voted on, sign the answer, and say what it came to.

    Raises:
        ConfigError: if the key can't be used, or what would be signed is not what is shown.
        ControlError: if the firewall says no.
    """
    import msgspec

    from safebox.firewall.core.approval import Statement
    from safebox.firewall.roster import read_signer
    from safebox.sandbox.cli.approvals_show import ask, tell
    from safebox.sandbox.cli.state import connect

    signer = read_signer(key)
    with connect() as client:
        found = ask(client, hold)
        check(found)
        if not as_json:
            tell(found)
        statement = Statement(
            hold=found["hold"],
            run=found["run"],
            digest=found["digest"],
            bundle=found["bundle"],
            group=found["group"],
            verdict=verdict,
            approver=signer.name,
            signed_ns=time.time_ns(),
        )
        answer = client.request("vote", statement=msgspec.structs.asdict(statement), signature=signer.sign(statement))
    if as_json:
        print_json(answer)
    else:
        _say(signer.name, verdict, answer)


def check(found: dict[str, Any]) -> None:
    """See that the digest that will be signed is that of the action that is shown.

    Raises:
        ConfigError: if it isn't; nothing is signed then.
    """
    from safebox.firewall.core.action import digest_of
    from safebox.firewall.core.tools import TOOLS

    asked = found["asked"]
    tool = TOOLS.get(asked["tool"])
    args = None if tool is None else tool.recall(asked["action"]["args"])
    if digest_of((asked["tool"], args)) != found["digest"]:
        raise ConfigError(
            "the firewall shows another action than the one it wants signed",
            remedy="sign nothing; look at the firewall and its ledger (safebox audit verify)",
            code="approval.not_what_is_shown",
        )


def _say(name: str, verdict: str, answer: dict[str, Any]) -> None:
    from safebox.sandbox.cli.hold_words import missing

    what, state = clean(answer["hold"]), str(answer["state"])
    if verdict == "deny" and state == "refused":
        say(f"\n{clean(name)} denied {what}. It will not be done, and the run is not asked again.", style="bold red")
    elif state == "open" and len(answer["approved_by"]) < answer["needed"]:
        say(f"\n{clean(name)} approved {what}: {missing(answer)}, so it waits for more.", style="yellow")
    elif verdict == "approve" and state in ("open", "doing", "done"):
        say(f"\n{clean(name)} approved {what}. That is enough: it is judged once more, and done.", style="green")
    else:
        say(f"\n{what} was over before that: {missing(answer)}.", style="yellow")
