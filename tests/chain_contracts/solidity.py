"""The contracts that tests put on a chain: their source is here, and beside it what the compiler made of it.

`python -m tests.chain_contracts.solidity` compiles them again, with the compiler that tests/npm pins. What comes out is
a function of the source and the compiler alone: no path, no date and no metadata is in the bytes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from tests import real_parts

FOLDER: Final = Path(__file__).parent
COMPILED: Final = FOLDER / "compiled.json"
COMPILE_SECONDS: Final = 120


def compile_all() -> bytes:
    """Compile every source of this folder, and write name → ABI and bytecode down as `compiled.json` has it."""
    program = real_parts.require("solc")
    command = [real_parts.require("node"), program, "--standard-json"]
    with tempfile.TemporaryFile() as output:  # it ends before it has written everything to a pipe
        wanted = json.dumps(_wanted()).encode()
        subprocess.run(command, input=wanted, stdout=output, timeout=COMPILE_SECONDS, check=True)
        output.seek(0)
        text = output.read()
    answer = json.loads(text[text.index(b"{") :])  # an SMT solver that it lacks is told on a line before
    wrong = [each["formattedMessage"] for each in answer.get("errors", ())]
    if wrong:
        raise ValueError("\n".join(wrong))
    found = {
        name: {"abi": made["abi"], "bytecode": made["evm"]["bytecode"]["object"]}
        for file in answer["contracts"].values()
        for name, made in file.items()
        if made["evm"]["bytecode"]["object"]
    }
    return (json.dumps(dict(sorted(found.items())), indent=1) + "\n").encode()


def _wanted() -> dict[str, Any]:
    """Solidity's standard input: the sources, for the rules that the stand-in chain plays by."""
    sources = {path.name: {"content": path.read_text(encoding="utf-8")} for path in sorted(FOLDER.glob("*.sol"))}
    settings = {
        "evmVersion": "prague",
        "optimizer": {"enabled": True, "runs": 200},
        "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
        "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object"]}},
    }
    return {"language": "Solidity", "sources": sources, "settings": settings}


if __name__ == "__main__":
    COMPILED.write_bytes(compile_all())
    sys.exit(0)
