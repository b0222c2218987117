"""The command line, one command per file. Printing help imports nothing but this package's tables."""

import sys


def main() -> None:
    """Be the program `safebox`. Ends the process with a status from `exit.py`."""
    if sys.argv[1:] in (["--help"], ["-h"]):  # typer alone takes longer to import than this whole answer may take
        from safebox.sandbox.cli.help_page import help_page, wants_colour

        sys.stdout.write(help_page(colour=wants_colour(sys.stdout)))
        return
    from safebox.sandbox.cli.application import run_command

    sys.exit(run_command())
