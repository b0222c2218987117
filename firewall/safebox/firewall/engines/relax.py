"""`relax.json`: what an overlay may make looser, path by path, and why.

    {"data.data.limits.rate.denials_in_ten_minutes": "load tests of this site ask a lot"}

Names exact paths only: no patterns, nothing about a whole subtree that a later edit could fill.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from safebox.firewall.errors import PolicyUnavailable

RELAX_NAME: Final = "relax.json"
BYTES_MAX: Final = 65_536
"""A list that people read and answer for."""
REASON_MAX: Final = 300
"""Characters of a reason: it is shown at every start and recorded with every activation."""
_REMEDY: Final = 'write {"data.data.limits.…": "why this site wants it"}'


def read_relaxed(folder: Path) -> dict[str, str]:
    """Path → reason; empty if the folder has no such file.

    Raises:
        PolicyUnavailable: if it is anything but an object of paths with reasons.
    """
    path = folder / RELAX_NAME
    try:
        with path.open("rb") as file:
            raw = file.read(BYTES_MAX + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise PolicyUnavailable(f"{path} can't be read: {error}", kind="unreadable") from error
    if len(raw) > BYTES_MAX:
        raise PolicyUnavailable(f"{path} has more than {BYTES_MAX} bytes", kind="too_large", remedy=_REMEDY)
    try:
        pairs = msgspec.json.decode(raw, type=dict[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PolicyUnavailable(f"{path}: {error}; {_REMEDY}", kind="broken", remedy=_REMEDY) from error
    for name, reason in pairs.items():
        if not reason.strip() or len(reason) > REASON_MAX or not (reason + name).isprintable():
            what = f"no reason, or one of more than {REASON_MAX} characters, or of unprintable ones"
            cause = f"{path}: {name!r} has {what}; {_REMEDY}"
            raise PolicyUnavailable(cause, kind="broken", remedy=_REMEDY)
    return pairs
