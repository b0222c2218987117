"""`safebox wallet init`: make the owner's wallet."""

from __future__ import annotations

from safebox.sandbox.cli.console import print_json, say
from safebox.sandbox.cli.orders import AsJson


def wallet_init(as_json: AsJson = False) -> None:
    """Make the owner's wallet, from which runs are lent theirs. Never overwrites one; the first firewall does the same.

    The passphrase is that of $SAFEBOX_PASSPHRASE_FILE, else a random one in the state folder.
    """
    from safebox.firewall.ownerkey import make_owner
    from safebox.firewall.settings import state_folder

    tell(make_owner(state_folder()), "Made the owner's wallet.", as_json=as_json)


def tell(address: str, done: str, *, as_json: bool) -> None:
    """Say whose wallet there is now, and what must be kept of it."""
    from safebox.firewall.keyfile import passphrase_path
    from safebox.firewall.ownerkey import owner_path
    from safebox.firewall.settings import state_folder

    key, passphrase = owner_path(state_folder()), passphrase_path(state_folder())
    if as_json:
        print_json({"address": address, "key": str(key), "passphrase": str(passphrase)})
        return
    say(done)
    say(f"address     {address}")
    say(f"key         {key}")
    say(f"passphrase  {passphrase}")
    say("Keep copies of both files, apart from each other: without them what the wallet and its runs hold is lost.")
