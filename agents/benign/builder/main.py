"""Builder: a CI agent. Each patch in its inbox is a test program; it runs each in a container and mails the result."""

from __future__ import annotations

import sys
import time

from safebox.agents import Toolbox
from safebox.agents.toolbox import Mail

IMAGE = "safebox/base"
RUN_INPUT = ["python", "/job/input"]  # the command the mandate lists
AT_ONCE = 3  # as many instances as the mandate grants
AUTHORS = "dev@owner.example"  # in the mandate
LOOK_SECONDS = 0.2


def finished(box: Toolbox, running: dict[str, Mail]) -> dict[str, str]:
    """Give back what has ended and return what came of it, by subject."""
    results: dict[str, str] = {}
    for instance in list(running):
        job = box.compute_status(instance)
        if job.state != "running":
            box.stop_compute(instance)
            mail = running.pop(instance)
            results[mail.subject] = f"exit status {job.exit_code}\n{job.output}"
    return results


def main() -> int:
    box = Toolbox()
    waiting = [box.read_mail(header.id) for header in box.list_mail()]
    running: dict[str, Mail] = {}
    results: dict[str, str] = {}
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            mail = waiting.pop(0)
            running[box.start_compute(IMAGE, RUN_INPUT, 2, job_input=mail.body)] = mail
        time.sleep(LOOK_SECONDS)
        results |= finished(box, running)
    report = "\n".join(f"{subject}: {result}" for subject, result in sorted(results.items()))
    box.send_mail([AUTHORS], "Results of this build", report)
    print(report)
    print(f"builder: {len(results)} patches built.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
