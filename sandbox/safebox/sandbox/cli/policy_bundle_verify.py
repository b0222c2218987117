"""`safebox policy bundle verify`: what is in a bundle, who signed it, and whether that is enough."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safebox.firewall.errors import ConfigError
from safebox.sandbox.cli.bundle_words import AsJson, BundleFile, about, read_file, tell
from safebox.sandbox.cli.console import print_json, say
from safebox.sandbox.cli.exit import CHECK_FAILED
from safebox.sandbox.cli.policy_check import policy_folders
from safebox.sandbox.cli.words import clean

if TYPE_CHECKING:
    from safebox.firewall.engines.signed import SignedBundle


def policy_bundle_verify(
    file: BundleFile,
    governance: Annotated[
        Path | None, typer.Option("--governance", metavar="FILE", help="Also see whether enough of these signed.")
    ] = None,
    source: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="DIR", help="Also see whether it was built from the pack and this overlay."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read a bundle as strictly as a firewall would, and say what is in it; nothing is changed."""
    release = read_file(file)
    problems = [
        found
        for found in (_unusable(release), _unsigned(release, governance), _another(release, source))
        if found is not None
    ]
    if as_json:
        print_json({"ok": not problems, "problems": problems, **about(release)})
    else:
        tell(release)
        for problem in problems:
            say(clean(problem), style="bold red")
        if not problems:
            say(_fine(governance, source), style="green")
    if problems:
        raise typer.Exit(CHECK_FAILED)


def _unusable(release: SignedBundle) -> str | None:
    """What keeps it from coming into force whoever signed it."""
    from safebox.firewall.engines.validate import validate

    return validate(release.bundle)


def _unsigned(release: SignedBundle, governance: Path | None) -> str | None:
    """What keeps it from being activated, by the governance file alone."""
    from safebox.firewall.engines.signed import is_signed
    from safebox.firewall.governance import read_governance

    for each in release.signatures:
        if not is_signed(each, release.release):
            return f"the signature of {each.name} is not over this bundle"
    if governance is not None:
        rules = read_governance(governance)
        try:
            rules.admit(release)
        except ConfigError as error:
            return error.cause
    return None


def _another(release: SignedBundle, source: list[Path] | None) -> str | None:
    """How it differs from what these folders would give."""
    from safebox.firewall.engines.bundle import load_bundle
    from safebox.firewall.engines.signed import make_release

    if source is None:
        return None
    mine = make_release(load_bundle(policy_folders(source)), release.version)
    if mine.content == release.content:
        return None
    return f"these folders give another bundle: {mine.bundle.digest}"


def _fine(governance: Path | None, source: list[Path] | None) -> str:
    said = ["The file is whole"]
    if governance is not None:
        said.append("enough people signed it")
    if source is not None:
        said.append("it was built from these folders")
    return ", ".join(said) + "."
