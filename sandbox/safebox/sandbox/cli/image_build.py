"""`safebox image build`: the image agents run in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, cast

import typer

from safebox.sandbox.cli.console import print_json, say

if TYPE_CHECKING:
    from safebox.sandbox.image import TakesTrees


def image_build(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")] = "safebox/base",
    source: Annotated[
        str, typer.Option("--from", metavar="IMAGE", help="An image of a registry; `host` is this machine's Python.")
    ] = "host",
    engine: Annotated[str | None, typer.Option(metavar="ENGINE", help="docker or bwrap; else what is there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Build the base image for agents from this machine's Python, or from an image a registry has."""
    from safebox.sandbox.engines import choose_engine
    from safebox.sandbox.image import build

    chosen = choose_engine(engine)
    built = build(cast("TakesTrees", chosen), name, source, _progress)
    if as_json:
        print_json({"name": built.name, "digest": built.digest, "rebuilt": built.rebuilt, "engine": chosen.name})
    else:
        what = "built" if built.rebuilt else "up to date:"
        say(f"{what} {built.name} for {chosen.name} ({built.digest[:12]})")


def _progress(text: str) -> None:
    sys.stderr.write(f"{text}…\n")
    sys.stderr.flush()
