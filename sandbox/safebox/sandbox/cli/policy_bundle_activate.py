"""`safebox policy bundle activate`: have the firewall that is up judge by a signed bundle."""

from __future__ import annotations

from safebox.sandbox.cli.bundle_words import AsJson, BundleFile, read_bytes
from safebox.sandbox.cli.console import print_json, say
from safebox.sandbox.cli.words import clean


def policy_bundle_activate(file: BundleFile, as_json: AsJson = False) -> None:
    """Ask the firewall to put a bundle in force. It verifies the file itself, and records its yes or no."""
    import base64

    from safebox.sandbox.cli.state import connect

    raw = read_bytes(file)
    with connect() as client:
        answer = client.request("activate", file=base64.b64encode(raw).decode())
    if as_json:
        print_json(answer)
        return
    signers = ", ".join(map(clean, answer["signers"]))
    say(f"version {answer['version']}, {clean(answer['bundle'])}, signed by {signers}, is in force.", style="green")
