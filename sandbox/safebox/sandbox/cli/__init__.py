"""The command line, one command per file. Printing help imports nothing but this package's tables."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> None:
    """Be the program `safebox`. Ends the process with a status from `exit.py`."""
    if sys.argv[1:] in (["--help"], ["-h"]):  # typer alone takes longer to import than this whole answer may take
        from safebox.sandbox.cli.help_page import help_page, wants_colour

        sys.stdout.write(help_page(colour=wants_colour(sys.stdout)))
        return
    from safebox.sandbox.cli.ending import status_of

    if sys.argv[1:2] == ["run"]:
        _leave(status_of(_run))
    if sys.argv[1:2] == ["serve"]:
        sys.exit(status_of(_serve))
    if sys.argv[1:2] == ["host-child"]:
        sys.exit(status_of(_host_child))
    sys.exit(status_of(_command))


def _leave(status: int) -> NoReturn:
    """End the process after a run, whose files are closed and whose sandbox is gone.

    Taking the interpreter apart would take a third of the time that loading it took. Whoever traces it wants that.
    """
    if sys.gettrace() is None:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:  # the reader is gone: the ordinary way knows what to do
            sys.exit(status)
        os._exit(status)
    sys.exit(status)


SWITCH_SECONDS = 0.0005
"""How long one thread may keep another waiting. Python's own 5 ms is a tenth of a start: it loads beside its work."""


def _run() -> int:
    from safebox.sandbox.cli.quick import read_run

    asked = read_run(sys.argv[2:])
    if asked is None:
        return _command()
    sys.setswitchinterval(SWITCH_SECONDS)
    from safebox.sandbox.cli.session import run_to_end

    return run_to_end(asked.setup, asked.folder, asked.command, as_json=asked.as_json)


def _serve() -> int:
    from safebox.sandbox.cli.quick import read_serve
    from safebox.sandbox.cli.serving import WARM, serve_to_end

    asked = read_serve(sys.argv[2:], warm=WARM)
    if asked is None:
        return _command()
    return serve_to_end(asked.setup, warm=asked.warm, until_idle=asked.until_idle)


def _host_child() -> int:
    from safebox.sandbox.cli.host_child import host_child

    return host_child(sys.argv[2:])


def _command() -> int:
    from safebox.sandbox.cli.application import run_command

    return run_command()
