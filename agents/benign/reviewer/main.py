"""Reviewer: reads the patches in its inbox with its model and mails what it found, with the lines it is about."""

from __future__ import annotations

import os
import sys

from openai import OpenAI

from safebox.agents import Toolbox
from safebox.agents.toolbox import Mail

DEVELOPERS = ["dev@owner.example"]  # in the mandate
RULES = {
    "eval(": "runs whatever the file says; use float or json.loads",
    "time.time()": "jumps when the clock is set; use time.monotonic",
    "sys.argv[1]": "an IndexError without an argument; say what is missing",
    "def __init__(self, seconds)": "has no types",
}
PROMPT = "You review patches. Name what could go wrong, line by line, in at most three sentences."


def opinion(mail: Mail) -> str:
    with OpenAI() as openai:
        answer = openai.chat.completions.create(
            model=os.environ["OPENAI_MODEL"],
            messages=[{"role": "system", "content": PROMPT}, {"role": "user", "content": mail.body}],
            max_completion_tokens=200,
        )
    return answer.choices[0].message.content or ""


def remarks(mail: Mail) -> list[str]:
    """Quote every line that a rule is about, with the line before it."""
    found: list[str] = []
    before = ""
    for line in mail.body.splitlines():
        found += [f"> {before}\n> {line}\n{why}\n" for what, why in RULES.items() if what in line]
        before = line
    return found


def main() -> int:
    box = Toolbox()
    mails = [box.read_mail(header.id) for header in box.list_mail()]
    for mail in mails:
        text = "\n".join([opinion(mail), "", *remarks(mail)])
        box.send_mail(DEVELOPERS, f"Re: {mail.subject}", text)
    print(f"reviewer: {len(mails)} patches reviewed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
