"""The signer's process: `python -m safebox.firewall.signer DESCRIPTOR STATE LEDGER PARENT`, started by the firewall."""

from __future__ import annotations

import gc
import socket
import sys
from pathlib import Path

from safebox.firewall.errors import ConfigError
from safebox.firewall.signer.hardening import harden


def main(descriptor: str, state: str, ledger: str, parent: str) -> None:
    """Open the keys and answer until the firewall hangs up."""
    gc.disable()  # until the keys are open: what is loaded stays
    connection = socket.socket(fileno=int(descriptor))
    harden(int(parent))
    from safebox.firewall.keyfile import FOLDER
    from safebox.firewall.signer import wire
    from safebox.firewall.signer.holders import open_keystore
    from safebox.firewall.signer.server import Signer, serve
    from safebox.firewall.signer.watermark import Watermark
    from safebox.firewall.store.notary import VERIFIER_NAME

    home = Path(state)
    try:
        keystore = open_keystore(home)
        signer = Signer(keystore, Path(ledger), home / FOLDER / VERIFIER_NAME, Watermark.open(home / "signer"))
    except ConfigError as error:
        wire.receive(connection)
        connection.sendall(wire.frame(wire.No("config", error.cause, remedy=error.remedy)))
        return
    gc.freeze()
    gc.enable()
    serve(connection, signer)


if __name__ == "__main__":
    main(*sys.argv[1:])
