"""How a command ends: its status, or the cause of an error and its remedy."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

from safebox.firewall.errors import SafeboxError
from safebox.sandbox.cli.exit import INTERRUPTED, UNREAD


def status_of(command: Callable[[], int]) -> int:
    """Run a command and give the process's exit status; errors are explained on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what agents wrote must not end the program
    try:
        return command()
    except SafeboxError as error:
        _explain(error)
        return error.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        from safebox.sandbox.cli.console import fall_silent

        fall_silent()
        return UNREAD


def _explain(error: SafeboxError) -> None:
    from safebox.sandbox.cli.help_page import wants_colour
    from safebox.sandbox.cli.words import clean

    bold, dim, end = ("\x1b[1;31m", "\x1b[2m", "\x1b[0m") if wants_colour(sys.stderr) else ("", "", "")
    sys.stdout.flush()
    lines = clean(error.cause, lines=True).replace("\n", "\n  ")
    sys.stderr.write(f"{bold}safebox: {end}{lines}\n")
    if error.remedy:
        sys.stderr.write(f"  → {clean(error.remedy, lines=True)}\n")
    sys.stderr.write(f"{dim}  ({error.code}){end}\n")
