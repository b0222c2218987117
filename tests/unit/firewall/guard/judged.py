"""The action that the guard's tests judge."""

from __future__ import annotations

from safebox.firewall.core.action import Action
from safebox.firewall.core.tools import Caller

BUNDLE = "sha256:" + "b" * 64
ACTION = Action(
    id="act_01m825y5j5aaaaaaaaaaaaaaaa",
    run="run_01m825xz5vaaaaaaaaaaaaaaaa",
    tool="email.send",
    kind="email",
    effects=("outward",),
    caller=Caller.AGENT,
    args=None,
    digest="sha256:" + "d" * 64,
    key=None,
    received_ns=0,
)
