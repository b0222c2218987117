from __future__ import annotations

import pytest

from safebox.firewall.mandate.toml import Path, parse

DOCUMENT = """\
# a comment with [brackets] and "quotes"
top = 1
a.b.c = "dotted"

[table."quoted \\u0041 key"] # trailing
'literal key' = 'a # no comment'
text = \"\"\"
[not.a.table]
key = \\"value\\"
\"\"\"
after = 1
raw = '''
x = 1 '' '''
[table]
array = [
  1, # one ]
  # between
  [ "in", 'ner' ],
  { x = 1, y.z = [ 2,
     3 ] },
]
inline = { p = "}", q = { r = 1979-05-27 07:32:00, s = 1 } }
[[many]]
name = 1
[[many]]
name = 2
[many.below]
deep = 3
[[many.list]]
[[many.list]]
end = 4
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("a",), 3),
        (("a", "b", "c"), 3),
        (("table", "quoted A key"), 5),
        (("table", "quoted A key", "literal key"), 6),
        (("table", "quoted A key", "after"), 11),
        (("table", "quoted A key", "raw"), 12),
        (("table",), 14),
        (("table", "array"), 15),
        (("table", "array", 0), 16),
        (("table", "array", 1, 1), 18),
        (("table", "array", 2, "y", "z", 1), 20),
        (("table", "inline", "q", "s"), 22),
        (("many", 0, "name"), 24),
        (("many", 1), 25),
        (("many", 1, "name"), 26),
        (("many", 1, "below", "deep"), 28),
        (("many", 1, "list", 1, "end"), 31),
        (("table", "inline", "missing", "entirely"), 22),
        (("nowhere",), 1),
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_every_key_and_element_has_its_line(path: Path, line: int, ends: str) -> None:
    assert parse(DOCUMENT.replace("\n", ends)).line(path) == line
