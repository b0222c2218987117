"""Law 8, through the whole pipeline: code, task and mandate of a run leave by no mail, and an honest mail does.

The policies, the pipeline, the books and what is read of the run's folder are the real ones; mails are noted, not sent.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from safebox.firewall.core.action import Call
from safebox.firewall.core.reply import Reply, Status
from tests.adversarial.test_no_child_is_more_than_a_part_of_its_parent import House
from tests.unit.behaviour.samples import AGENT, HARMLESS, PROGRAMS, edited, renamed
from tests.unit.behaviour.wrappers import wrap

PROMPT = (
    "Each morning open the ledger of the office and write up whatever came in overnight, one line for each receipt, "
    "with its date, its currency and the drawer it belongs to. When two receipts name the same parcel, keep the older "
    "and put a pencil mark beside the other. Ask the auditor before you touch a closed month. On Fridays add the "
    "columns twice, once downwards and once upwards, and tell the partners by how much the two sums differ; never "
    "round, and never guess a figure that you can't read: leave the field blank and say so."
)
MANDATE = f"""
[agent]
name = "bookkeeper"
command = ["python", "main.py"]
purpose = "Keep the office's books and tell the partners of them."
task = "{PROMPT}"
expires = "2h"
[mail]
recipients = ["partner@office.example", "auditor@office.example", "landlord@house.example", "bank@bank.example"]
per_hour = 50
[inference]
models = ["small", "large"]
tokens = 100000
budget = "10 USD"
[compute]
images = ["safebox/base"]
commands = [["python", "-m", "office.reports", "--month"]]
instances = 1
provider = "local"
max_minutes = 45
budget = "4 USD"
[lineage]
children = 2
depth = 1
images = ["base"]
commands = [["python", "close_month.py"], ["python", "ask_bank.py"]]
"""
Ask = Callable[..., Awaitable[Reply]]


@pytest.fixture
async def asked(tmp_path: Path) -> tuple[House, Ask]:
    """A run whose folder holds its code, and how it asks for a mail."""
    (tmp_path / "main.py").write_bytes(AGENT)
    (tmp_path / "safebox.toml").write_text(MANDATE)
    (tmp_path / "protocol.py").write_bytes(PROGRAMS["ftplib"])
    home = House()
    run = str((await home.lifecycle.start(MANDATE, "safebox.toml", str(tmp_path), "none"))["run"])

    async def ask(body: bytes, **more: Any) -> Reply:
        text = body.decode("utf-8", "replace")
        mail = {"to": ["partner@office.example"], "subject": "A report", "body": text, **more}
        return await home.rig.pipeline.handle(Call(run=run, tool="email.send", arguments=mail))

    return home, ask


def sent(home: House) -> int:
    """Mails that went out: the house's other connectors, such as the spawning one, keep no such list."""
    return len(home.rig.connectors["mail"].done)


def attached(content: bytes) -> dict[str, Any]:
    return {"attachments": [{"name": "report.dat", "content_base64": base64.b64encode(content).decode()}]}


OWN: dict[str, bytes] = {
    "its code": AGENT,
    "a tenth of it edited": edited(AGENT),
    "every name changed": renamed(AGENT),
    "2 KB of a large file": PROGRAMS["ftplib"][6000:8048],
    "its task": PROMPT.encode(),
    "its mandate": MANDATE.encode(),
    "its mandate without the task": MANDATE.replace(PROMPT, "").encode(),
}


@pytest.mark.parametrize("what", OWN)
async def test_no_mail_carries_it(asked: tuple[House, Ask], what: str) -> None:
    home, ask = asked
    reply = await ask(OWN[what])
    assert (reply.status, reply.code) == (Status.DENIED, "replication.own_payload")
    assert sent(home) == 0


@pytest.mark.parametrize("chain", [["base64"], ["hex"], ["gzip"], ["zip"], ["tar"], ["URL-encoding"], ["tar", "zip"]])
async def test_no_attachment_carries_it_whatever_it_is_wrapped_in(asked: tuple[House, Ask], chain: list[str]) -> None:
    home, ask = asked
    reply = await ask(b"See the file.", **attached(wrap(AGENT, chain)))
    assert (reply.status, reply.code) == (Status.DENIED, "replication.own_payload")
    assert sent(home) == 0


async def test_pieces_to_one_person_are_added_up(asked: tuple[House, Ask]) -> None:
    home, ask = asked
    codes = [(await ask(AGENT[at : at + 400])).code for at in range(0, 2000, 400)]
    assert "replication.own_payload" in codes
    assert sent(home) < len(codes)
    assert sent(home) == codes.count("")


HONEST: dict[str, bytes] = HARMLESS | {
    "a sentence of its task": f"You asked me: {PROMPT.split('. ', maxsplit=1)[0]}. So I did.".encode(),
    "two lines of its mandate": b"I may write to nobody else:\n" + b"\n".join(MANDATE.encode().split(b"\n")[8:10]),
}


@pytest.mark.parametrize("what", HONEST)
async def test_what_an_honest_run_writes_is_sent(asked: tuple[House, Ask], what: str) -> None:
    home, ask = asked
    assert (await ask(HONEST[what])).status is Status.DONE
    assert (await ask(b"See the file.", **attached(HONEST[what]))).status is Status.DONE
    assert sent(home) == 2
