"""Editor: an agent with agents of its own. Each note in its inbox goes to a writer, who may write to one club alone."""

from __future__ import annotations

import json
import sys
import time

from safebox.agents import Toolbox
from safebox.agents.toolbox import MailHeader

IMAGE = "safebox/base"
WRITER = ["python", "writer.py"]  # the command the mandate lists
CLUBS = {"For the gardeners": "gardeners@club.example", "For the cyclists": "cyclists@club.example"}
MANDATE = """\
[agent]
name = "writer"
command = ["python", "writer.py"]
image = "safebox/base"
purpose = "Write this week's letter to one club."
task = "Make a letter of the note you are given, and send it."
expires = "10m"
[mail]
recipients = ["{club}"]
per_hour = 1
inbox = "inbox"
"""
LOOK_SECONDS = 0.2


def start(box: Toolbox, note: MailHeader) -> str:
    club = CLUBS[note.subject]
    asked = json.dumps({"note": note.id, "club": club})
    return box.spawn(IMAGE, WRITER, MANDATE.format(club=club), child_input=asked)


def main() -> int:
    box = Toolbox()
    writers = [start(box, note) for note in box.list_mail()]
    while any(child.state != "over" for child in box.children()):
        time.sleep(LOOK_SECONDS)
    done = [child.run for child in box.children() if child.exit_code == 0]
    print(f"editor: {len(done)} of {len(writers)} letters written.")
    return 0 if done == writers else 1


if __name__ == "__main__":
    sys.exit(main())
