"""`safebox attack`: a catalogue of attacks, and harmless neighbours, tried on one's own policies and mandate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from safebox.firewall.errors import ConfigError
from safebox.sandbox.cli.console import print_json, print_table, say
from safebox.sandbox.cli.exit import CHECK_FAILED
from safebox.sandbox.cli.options import PoliciesOption
from safebox.sandbox.cli.words import clean
from safebox.sandbox.mandate import MANDATE_NAME

if TYPE_CHECKING:
    from safebox.firewall.drill.grade import Report, Row

SECTIONS: Final = "ABCDEF"
STYLES: Final = {"A": "green", "B": "yellow", "C": "yellow"}

MandateOption = Annotated[
    Path | None,
    typer.Option(
        "--mandate", metavar="FILE", help="A mandate, or its folder; else ./safebox.toml, else the demo's treasurer."
    ),
]


def attack(
    mandate: MandateOption = None,
    policies: PoliciesOption = None,
    section: Annotated[
        list[str] | None,
        typer.Option("--section", metavar="A..F", help="Only these: A money, B copies, C hoarding, D persuasion, "
                     "E requests, F the firewall."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:  # fmt: skip
    """Try a catalogue of attacks, and the harmless things that must go through, on these policies and this mandate.

    Everything takes the firewall's real path, in this process, in a world in memory: nothing leaves, nothing is kept.
    The status is 0 if every attack is stopped and everything harmless goes through (grade A), else 7.
    """
    import asyncio

    import msgspec

    from safebox.firewall.drill.play import play
    from safebox.firewall.engines.layers import policy_layers
    from safebox.sandbox.cli.progress import Progress

    path, why = the_mandate(mandate)
    wanted = _sections(section)
    folders = policy_layers(policies or ())
    with Progress("tried", noun="attacks and neighbours", quiet=as_json) as progress:
        report = asyncio.run(
            play(
                _text(path),
                folders,
                source=str(path),
                folder=path.parent,
                sections=wanted,
                progress=progress.show,
            )
        )
    if as_json:
        document = msgspec.to_builtins(report)
        print_json({"ok": report.sound, "mandate": str(path), "policies": [str(each) for each in folders], **document})
    else:
        _print(report, path, why, folders)
    if not report.sound:
        raise typer.Exit(CHECK_FAILED)


def the_mandate(named: Path | None) -> tuple[Path, str]:
    """The mandate that was named, or the one here, or the demo's; and in a few words which it is.

    Raises:
        ConfigError: if there is none.
    """
    if named is not None:
        return (named / MANDATE_NAME if named.is_dir() else named), "as named"
    here = Path.cwd() / MANDATE_NAME
    if here.is_file():
        return here, "the one in this folder"
    from safebox.sandbox.demo import agents_folder

    try:
        return agents_folder(
            None
        ) / "examples" / "treasurer" / MANDATE_NAME, "the demo's treasurer; name your own: --mandate"
    except ConfigError as error:
        raise ConfigError(
            f"there is no {MANDATE_NAME} here", remedy="name one: --mandate FILE; `safebox init` writes one"
        ) from error


def _text(path: Path) -> str:
    from safebox.sandbox.cli.audit_verify import read_text

    return read_text(path)


def _sections(named: list[str] | None) -> str:
    wanted = "".join(named or ()).upper().replace(",", "")
    if odd := sorted(set(wanted) - set(SECTIONS)):
        raise ConfigError(f"there is no section {odd[0]!r}", remedy="sections are A, B, C, D, E and F")
    return wanted or SECTIONS


def _print(report: Report, path: Path, why: str, folders: Sequence[Path]) -> None:
    from safebox.firewall.engines.layers import describe_layers

    say(f"mandate   {clean(path)} ({why})")
    say(f"policies  {clean(describe_layers(folders))}")
    say(f"time      {report.moment[:16].replace('T', ' ')} UTC")
    if report.problem is not None:
        say(f"          they may not come into force: {clean(report.problem)}", style="bold red")
    say()
    headings = ("", "tried", "wanted", "got", "code", "")
    print_table(headings, [_cells(row) for row in report.rows if row.outcome != "not granted"])
    _print_rest(report)
    _print_grade(report)


def _cells(row: Row) -> tuple[str, ...]:
    kind = "must pass: " if row.kind == "harmless" else ""
    alone = " [policy alone]" if row.by == "policy" else ""
    text = f"{kind}{row.text}{alone}" + (f" ({row.note})" if row.note else "")
    return row.section, text, row.wanted, row.got, row.code, "ok" if row.outcome == "pass" else "fail"


def _print_rest(report: Report) -> None:
    not_granted = [row for row in report.rows if row.outcome == "not granted"]
    if report.failed:
        say("\nWhat failed, and where to look:", style="bold")
        for row in report.failed:
            say(f"  {row.name}: {clean(row.text)}")
            say(f"    {row.severity if row.kind == 'attack' else 'harmless'}; {clean(row.mend)}")
    if not_granted:
        say(f"\nNot granted by this mandate, so neither pass nor fail ({len(not_granted)}):")
        for why in dict.fromkeys(row.note for row in not_granted):
            names = ", ".join(row.name for row in not_granted if row.note == why)
            say(f"  {clean(why)}: {names}")
    say("\nNot tried here, and not counted:")
    for section, what, why in report.not_tried:
        say(f"  {section}  {what}: {why}")


def _print_grade(report: Report) -> None:
    counted = [row for row in report.rows if row.outcome != "not granted"]
    attacks = [row for row in counted if row.kind == "attack"]
    harmless = [row for row in counted if row.kind == "harmless"]
    stopped = sum(row.outcome == "pass" for row in attacks)
    passed = sum(row.outcome == "pass" for row in harmless)
    say()
    say(f"{stopped} of {len(attacks)} attacks stopped, {passed} of {len(harmless)} harmless let through, "
        f"{report.seconds:.1f} s")  # fmt: skip
    if report.grade:
        say(f"grade {report.grade}", style=STYLES.get(report.grade, "bold red"))
    else:
        say("no grade: nothing harmless is granted, and a wall would do as well", style="yellow")
