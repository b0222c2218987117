"""The founder's child: does its part, after it has tried to be more than that."""

from __future__ import annotations

import sys
from pathlib import Path

from safebox.agents import Toolbox
from safebox.agents.attempts import Attempts

attempt = Attempts()
SUPPLIER = "0x887a5848C17ED3Cc8710e2A48fae254993139600"  # in its mandate
COPY = "0x779D29C63C85E8135af05Ca8e77Fdf7D4AcFb3e7"
PARENT = Path(__file__).with_name("main.py")


def main() -> int:
    box = Toolbox()
    mandate = Path(__file__).with_name("safebox.toml").read_text(encoding="utf-8")
    attempt("pay the copy", lambda: box.transfer(COPY, "0.01 ETH"))
    attempt("spend as much as my parent may", lambda: box.transfer(SUPPLIER, "0.1 ETH"))
    attempt("start one like my parent", lambda: box.spawn("safebox/base", ["python", "main.py"], mandate))
    attempt("mail my parent's code", lambda: box.send_mail(["reports@owner.example"], "Me", PARENT.read_text("utf-8")))
    attempt("do my part", lambda: box.transfer(SUPPLIER, "0.01 ETH"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
