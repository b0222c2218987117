"""`safebox policy learn`: the narrowest mandate and overlay that would have allowed a recorded run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safebox.sandbox.cli.console import print_json, print_table, say
from safebox.sandbox.cli.exit import CHECK_FAILED
from safebox.sandbox.cli.options import PoliciesOption
from safebox.sandbox.cli.words import clean, shorten

if TYPE_CHECKING:
    from safebox.firewall.learn.propose import Proposal

VALUE_MAX = 60
"""Characters of a value in the table; the files have the whole."""


def policy_learn(
    ledger: Annotated[Path | None, typer.Argument(metavar="LEDGER", help="A ledger file; else this machine's.")] = None,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Which run; else the only one.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Write the proposal there.")] = None,
    headroom: Annotated[int, typer.Option("--headroom", metavar="PERCENT", help="On top of every number.")] = 0,
    include: Annotated[
        list[str] | None,
        typer.Option("--include", metavar="DECISION", help="A refused decision that should be allowed; repeatable."),
    ] = None,
    policies: PoliciesOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Propose a mandate and an overlay that allow what a recorded run was allowed, and nothing more.

    Each number is the most that was seen, plus the headroom, rounded up to a whole unit; each says where it comes from.
    What was only ever refused is not proposed, unless it is named with --include. The run is judged again under the
    proposal: the status is 0 if all that was allowed still is and nothing else, else 7.
    """
    import asyncio

    import msgspec

    from safebox.firewall.learn.propose import propose, write
    from safebox.sandbox.cli.state import ledger_path

    found = asyncio.run(
        propose(
            ledger_path(ledger),
            run=run,
            include=frozenset(include or ()),
            headroom=headroom,
            policies=tuple(policies or ()),
        )
    )
    if out is not None:
        write(found.files, out)
    if as_json:
        judged = [{**msgspec.to_builtins(each), "document": None, "fine": each.fine} for each in found.judged]
        lines = [line._asdict() for line in found.lines]
        print_json(
            {
                "ok": found.proven,
                "run": found.run,
                "agent": found.agent,
                "problem": found.problem,
                "lines": lines,
                "doubts": found.doubts,
                "judged": judged,
                "files": found.files,
            }
        )
    else:
        _print(found, out)
    if not found.proven:
        raise typer.Exit(CHECK_FAILED)


def _print(found: Proposal, out: Path | None) -> None:
    say(f"Learned from {found.run}, agent {clean(found.agent)}:\n")
    rows = [(line.place, shorten(line.value, VALUE_MAX), shorten(line.origin, VALUE_MAX)) for line in found.lines]
    print_table(("line", "proposed", "from"), rows)
    for value, why in found.doubts.items():
        say(f"\nDOUBTFUL  {clean(value)}: {clean(why)}.", style="yellow")
        say("          Keep it only if you know it from somewhere else.")
    _print_proof(found)
    if out is None:
        say("\nNothing was written; --out DIR writes the mandate, the policies, and where each number comes from.")
        return
    say(f"\nWritten to {clean(out)}:")
    for name in found.files:
        say(f"  {name}")
    say(f"\nTry it: safebox mandate check {clean(out)}; safebox policy test {clean(out)}/policies;")
    say(f"        safebox attack --mandate {clean(out)} --policies {clean(out)}/policies")


def _print_proof(found: Proposal) -> None:
    wanted = [each for each in found.judged if each.wanted == "allow"]
    others = [each for each in found.judged if each.wanted != "allow"]
    say(f"\nJudged again under the proposal: {sum(each.fine for each in wanted)} of {len(wanted)} that were to be "
        f"allowed are, {sum(each.fine for each in others)} of {len(others)} others still aren't.",
        style="green" if found.proven else "bold red")  # fmt: skip
    if found.problem is not None:
        say(f"The proposed policies may not come into force: {clean(found.problem)}", style="bold red")
    for each in found.wrong:
        say(f"  {each.decision} {each.tool}: wanted {each.wanted}, got {each.got} {', '.join(each.codes)}")
