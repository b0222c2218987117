"""What may be under way before a firewall starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from safebox.firewall.engines.validate import Checked
from safebox.firewall.signer.process import Process


class Begun(NamedTuple):
    """What may be under way before a firewall starts: each gives its result when asked, and raises as it would itself.

    `signer` is the process with the keys; `checked` is the check of the policies in force at the start.
    """

    signer: Process | None
    checked: Callable[[], Checked] | None
