"""`safebox audit verify`: whether the ledger is as it was written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safebox.firewall.errors import ConfigError
from safebox.sandbox.cli.console import print_json, say
from safebox.sandbox.cli.exit import CHECK_FAILED
from safebox.sandbox.cli.words import clean

if TYPE_CHECKING:
    from safebox.firewall.core.checkpoint import Checkpoint, Verifier
    from safebox.firewall.store.verify import VerifyReport


def audit_verify(
    ledger: Annotated[Path | None, typer.Argument(metavar="LEDGER", help="A ledger file; else this machine's.")] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The public key; else the one beside.")
    ] = None,
    kept: Annotated[
        list[str] | None,
        typer.Option("--checkpoint", metavar="FILE_OR_URL", help="One or more checkpoints that were kept elsewhere."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say whether the ledger is intact, signed up to where, and - given a checkpoint kept elsewhere - complete."""
    import msgspec

    from safebox.firewall.store.verify import verify
    from safebox.sandbox.cli.progress import Progress
    from safebox.sandbox.cli.state import ledger_path

    path = ledger_path(ledger)
    verifier = read_key(key, path)
    checkpoints = [checkpoint for place in kept or () for checkpoint in _kept(place, verifier)]
    with Progress("checked", quiet=as_json) as progress:
        report = verify(path, progress.show, key=verifier, kept=checkpoints)
    if as_json:
        print_json({"ledger": str(path), **msgspec.to_builtins(report)})
    else:
        _say(path, report)
    if not report.sound:
        raise typer.Exit(CHECK_FAILED)


def read_key(named: Path | None, ledger: Path) -> Verifier | None:
    """The public key that was named, or the one in the keystore beside the ledger; None if there is none.

    Raises:
        ConfigError: if the one that was named can't be read, or either is no key.
    """
    from safebox.firewall.core.checkpoint import Verifier
    from safebox.firewall.store.notary import VERIFIER_NAME

    path = named or ledger.parent / "keystore" / VERIFIER_NAME
    return Verifier.parse(read_text(path)) if named is not None or path.is_file() else None


def _kept(place: str, verifier: Verifier | None) -> list[Checkpoint]:
    """All checkpoints that are kept in a place."""
    from safebox.firewall.core.checkpoint import read, split
    from safebox.firewall.store.places import is_url, open_place

    if verifier is None:
        raise ConfigError("a checkpoint can't be read without the public key", remedy="name it: --key FILE")
    notes, rest = split(open_place(place).read() if is_url(place) else read_text(Path(place)))
    try:
        return [read(note, verifier) for note in notes or [rest]]
    except ConfigError as error:
        raise ConfigError(
            f"{place} holds something else than this ledger's checkpoints: {error.cause}",
            remedy="name the place they are kept in, or the ledger's own public key: --key FILE",
        ) from error


def read_text(path: Path) -> str:
    """A small text file.

    Raises:
        ConfigError: if it can't be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}", remedy="name another file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text", remedy="name another file") from error


def _say(path: Path, report: VerifyReport) -> None:
    records = f"{report.events:,} record{'' if report.events == 1 else 's'}"
    if report.intact:
        say(f"intact      {records} of {path} are as they were written", style="green")
        say(f"head        {report.head}")
    else:
        say(f"NOT INTACT  {clean(report.problem or 'it is damaged')}", style="bold red")
        say(f"ledger      {path}, {records}")
        say("            Keep the file as it is, and look at who could write to it.")
    _say_signed(report)
    _say_kept(report)
    if report.effects_without_allow:
        say(f"EFFECTS WITHOUT AN ALLOW: {report.effects_without_allow}", style="bold red")
    if report.votes_unsigned:
        say(f"VOTES NOBODY SIGNED: {report.votes_unsigned}", style="bold red")
    if report.allows_unapproved:
        say(f"ALLOWS WITHOUT THE APPROVAL THEY NAME: {report.allows_unapproved}", style="bold red")


def _say_signed(report: VerifyReport) -> None:
    if report.signature_problem is not None:
        say(f"NOT SIGNED  {clean(report.signature_problem)}", style="bold red")
    elif report.signed_to is None:
        say("signed      not looked at: there is no public key here; name one with --key", style="yellow")
    elif report.signed_to < report.events:
        say(f"signed      up to record {report.signed_to:,}; what came after that nobody vouches for", style="yellow")
    else:
        say(f"signed      up to record {report.signed_to:,}", style="green")


def _say_kept(report: VerifyReport) -> None:
    if report.complete is None:
        say("complete    not known: records cut off at the end show only beside a checkpoint kept elsewhere")
        say("            (keep what safebox audit checkpoint prints, and come back with --checkpoint FILE)")
        return
    if report.complete:
        say("complete    it has all records the kept checkpoint names", style="green")
    else:
        say("INCOMPLETE  records the kept checkpoint names are gone", style="bold red")
    if report.consistent:
        say("consistent  history is the one the kept checkpoint saw", style="green")
    elif report.consistent is None:
        say("consistent  not known: no kept checkpoint is short enough to be compared")
    else:
        say("REWRITTEN   history is not the one the kept checkpoint saw", style="bold red")
