"""The page `safebox --help` prints. Imports no typer, no rich: help comes at once."""

import os
from typing import TextIO

from safebox.sandbox.cli.commands import HEADINGS
from safebox.sandbox.cli.exit import EXIT_STATUSES

ABOUT = "Run wallet-holding AI agents in sandboxes, every action past a policy firewall."
OPTIONS = {
    "--install-completion": "Make the shell complete commands and options",
    "--show-completion": "Print what makes the shell do that",
    "--version": "Print the version",
    "--help, -h": "Print this, or the help of a command after its name",
}


def wants_colour(stream: TextIO) -> bool:
    """Whether to send colours: to a terminal, unless NO_COLOR (https://no-color.org) or TERM=dumb says no."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def help_page(*, colour: bool) -> str:
    """The whole page, for 80 columns."""
    bold, cyan, end = ("\x1b[1m", "\x1b[36m", "\x1b[0m") if colour else ("", "", "")

    def heading(text: str) -> str:
        return f"{bold}{text}{end}\n"

    def row(word: str, text: str, width: int) -> str:
        return f"  {cyan}{word.ljust(width)}{end}  {text}\n"

    width = max(len(command) for commands in HEADINGS.values() for command in commands)
    page = f"{ABOUT}\n\n{heading('Usage')}  safebox COMMAND [OPTIONS] [ARGUMENTS]\n"
    for name, commands in HEADINGS.items():
        page += "\n" + heading(name) + "".join(row(command, line, width) for command, line in commands.items())
    page += "\n" + heading("Options") + "".join(row(option, line, 20) for option, line in OPTIONS.items())
    statuses = "".join(row(f"{status:>3}", line, 3) for status, line in EXIT_STATUSES.items())
    page += "\n" + heading("Exit status") + statuses + "  `safebox run` ends with the agent's own status.\n"
    return page + "\nState is in $SAFEBOX_HOME, or else in ~/.local/state/safebox.\n"
