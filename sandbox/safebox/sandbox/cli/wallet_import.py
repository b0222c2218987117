"""`safebox wallet import`: use a key there is already."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from safebox.firewall.errors import ConfigError
from safebox.sandbox.cli.orders import AsJson


def wallet_import(
    source: Annotated[str, typer.Argument(metavar="FILE", help="A key file, or a key in hexadecimal; - is a pipe.")],
    passphrase: Annotated[
        Path | None, typer.Option("--passphrase", metavar="FILE", help="Where the key file's passphrase is.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Use a key there is already as the owner's wallet. No key is ever taken from the command line itself.

    FILE is a key file of another wallet (Web3 Secret Storage, version 3), whose passphrase is asked for, unless
    --passphrase or $SAFEBOX_PASSPHRASE_FILE names its file; or a private key as 64 hexadecimal digits.
    """
    from safebox.firewall.ownerkey import read_key, take_owner
    from safebox.firewall.settings import state_folder
    from safebox.sandbox.cli.wallet_init import tell

    key = read_key(_content(source), lambda: _passphrase(passphrase))
    tell(take_owner(state_folder(), key), "Took the key in as the owner's wallet.", as_json=as_json)


def _content(source: str) -> bytes:
    """What is in the file or comes through the pipe.

    Raises:
        ConfigError: if it can't be read, or others could read it.
    """
    from safebox.firewall.ownerkey import FILE_BYTES_MAX
    from safebox.firewall.ownfile import OTHERS_ANY, read_own

    if source == "-":
        if sys.stdin.isatty():
            raise ConfigError("a key typed here would be seen", remedy="pipe it in, or name a file")
        content = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise ConfigError("what comes through the pipe is too long for a key", remedy="pipe a key file in")
        return content
    found = read_own(Path(source), others=OTHERS_ANY, most=FILE_BYTES_MAX)
    if found is None:
        # Not the word itself: somebody may have written the key there.
        raise ConfigError("there is no such file", remedy="name a file with the key in it; a key itself goes in a pipe")
    return found


def _passphrase(named: Path | None) -> bytes:
    """The key file's passphrase.

    Raises:
        ConfigError: if there is nobody to ask, or its file can't be used.
    """
    from getpass import getpass

    from safebox.firewall.keyfile import read_passphrase

    variable = os.environ.get("SAFEBOX_PASSPHRASE_FILE")
    if named is not None or variable:
        return read_passphrase(named or Path(str(variable)))
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError as error:
        raise ConfigError(
            "the key file needs its passphrase, and there is no terminal to ask at", remedy="--passphrase FILE"
        ) from error
    return getpass("Passphrase of the key file: ").encode()
