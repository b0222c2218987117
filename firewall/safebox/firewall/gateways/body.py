"""Reading JSON from an agent without letting it hold up, or end, everybody else.

The parser runs in the event loop and holds the interpreter. Its cost goes with the number of values, not of bytes, so
values are counted first (bytes are searched hundreds of times faster than JSON is parsed), and large bodies of one run
take turns. Its depth is bounded by the interpreter's recursion limit, which a library may have raised beyond what the
C stack holds: brackets nested deeply enough would end the process. So depth is measured first, too.
"""

from __future__ import annotations

import re
from typing import Any, Final

from safebox.firewall.core.arguments import NESTING_MAX, parse_json
from safebox.firewall.errors import CallerError
from safebox.firewall.gateways.gate import Gate
from safebox.firewall.gateways.limits import LARGE_BODY, OPENERS_FEW, VALUES_MAX

_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")


async def read_json(body: bytes, gate: Gate, *, floats: bool = False) -> Any:
    """Parse a request's body (see `core.arguments.parse_json`).

    Raises:
        CallerError: if it isn't JSON of one meaning, is nested too deeply, or has more than `VALUES_MAX` values.
    """
    if len(body) <= LARGE_BODY:
        check_size(body)
        return parse_json(body, floats=floats)
    async with gate.large:
        check_size(body)
        return parse_json(body, floats=floats)


def check_size(body: bytes) -> None:
    """See that parsing makes no more than about `VALUES_MAX` values and goes no deeper than `NESTING_MAX`.

    Looks inside strings only if the whole could be too much.

    Raises:
        CallerError: if it is.
    """
    openers = body.count(b"[") + body.count(b"{")
    if openers <= OPENERS_FEW and openers + body.count(b",") <= VALUES_MAX:
        return
    if body.count(b'"') - body.count(b'\\"') > 2 * VALUES_MAX:
        raise _too_many()
    bare = _STRING.sub(b"", body)
    if bare.count(b"[") + bare.count(b"{") + bare.count(b",") > VALUES_MAX:
        raise _too_many()
    depth = 0
    for bracket in bare.translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > NESTING_MAX:
            raise CallerError("the JSON is nested too deeply")


def _too_many() -> CallerError:
    return CallerError("the JSON has too many values", code="request.too_large")
