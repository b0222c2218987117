"""The command line, one command per file. Printing help imports nothing but this package's tables."""

import sys


def main() -> None:
    """Be the program `safebox`. Ends the process with a status from `exit.py`."""
    if sys.argv[1:] in (["--help"], ["-h"]):  # typer alone takes longer to import than this whole answer may take
        from safebox.sandbox.cli.help_page import help_page, wants_colour

        sys.stdout.write(help_page(colour=wants_colour(sys.stdout)))
        return
    from safebox.sandbox.cli.ending import status_of

    sys.exit(status_of(_command))


def _command() -> int:
    if sys.argv[1:2] == ["run"]:
        from safebox.sandbox.cli.quick import read

        asked = read(sys.argv[2:])
        if asked is not None:
            from safebox.sandbox.cli.session import run_to_end

            return run_to_end(asked.setup, asked.folder, asked.command, as_json=asked.as_json)
    from safebox.sandbox.cli.application import run_command

    return run_command()
