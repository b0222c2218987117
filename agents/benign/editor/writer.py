"""The editor's writer: makes one letter of one note, and sends it to the one club it may write to."""

from __future__ import annotations

import json
from pathlib import Path

from safebox.agents import Toolbox

given = json.loads(Path("/job/input").read_text(encoding="utf-8"))
box = Toolbox()
note = box.read_mail(given["note"])
lines = [f"- {line}" for line in note.body.splitlines() if line]
box.send_mail([given["club"]], "This week", "\n".join(["Dear members,", "", *lines, "", "Until next week!"]))
print(f"writer: a letter of {len(lines)} lines is with {given['club']}.")
