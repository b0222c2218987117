"""`safebox logs`: what a run's agent printed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Annotated, BinaryIO, Final

import typer

from safebox.firewall.errors import ConfigError

CHUNK: Final = 65_536
POLL_SECONDS: Final = 0.1
"""How often a growing log is looked at: soon enough for eyes, seldom enough for a laptop's battery."""


def logs(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, or the end of it.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
) -> None:
    """Print what a run's agent wrote to standard output and standard error."""
    from safebox.sandbox.cli.state import full_name, known_logs, log_path

    name = full_name(run, known_logs())
    try:
        with log_path(name).open("rb") as file:
            for chunk in _chunks(file, name, follow=follow):
                _write(chunk)
    except OSError as error:
        raise ConfigError(f"{log_path(name)} can't be read: {error.strerror}", remedy="safebox ps --all") from error


def _chunks(file: BinaryIO, run: str, *, follow: bool) -> Iterator[bytes]:
    while True:
        over = not follow or not _is_live(run)  # asked before reading, so that nothing written last is missed
        while chunk := file.readline(CHUNK):
            yield chunk
        sys.stdout.flush()
        if over:
            return
        time.sleep(POLL_SECONDS)


def _write(line: bytes) -> None:
    """As it is in a pipe; on a terminal, so that it can't steer it."""
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(line)
        return
    from safebox.sandbox.cli.display import coloured

    text = line.decode("utf-8", "replace")
    sys.stdout.write(coloured(text.rstrip("\r\n")) + ("\n" if text.endswith("\n") else ""))


def _is_live(run: str) -> bool:
    from safebox.sandbox.cli.ps import live

    return any(row.get("run") == run for row in live())
