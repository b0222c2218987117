"""Threat E, F: JSON nested a hundred thousand deep is refused; it never ends the process that reads it.

Importing eth_account or web3 imports py_ecc, which sets Python's recursion limit to 100,000 for the whole process. The
C parsers (json, msgspec) count on that limit to stop before the C stack is used up.
"""

from __future__ import annotations

import subprocess
import sys

from tests.real_parts import ROOT

PROGRAM = """
import importlib, json, pkgutil, sys
import msgspec
import safebox.firewall
for module in pkgutil.walk_packages(safebox.firewall.__path__, "safebox.firewall."):
    if ".standins" not in module.name and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
for parse in (json.loads, msgspec.json.decode):
    try:
        parse(b"[" * 90_000 + b"]" * 90_000)
    except RecursionError:
        print("refused")
"""
"""The stand-ins are processes of their own, and end with their firewall anyway."""


def test_json_nested_a_hundred_thousand_deep_is_an_error_in_the_firewall() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["refused", "refused"]), done.stderr[-2000:]
