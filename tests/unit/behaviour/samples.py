"""What the detectors are tried on: an agent, another of the same kind, and the mails such agents write."""

from __future__ import annotations

import ast
import ftplib
import imaplib
import io
import keyword
import poplib
import random
import re
import smtplib
import tokenize
from pathlib import Path
from types import ModuleType
from typing import Final

AGENT: Final = b'''"""Pays what vendors bill, and says so."""

import json
import os
import re

from openai import OpenAI

from safebox.agents import Client

PROMPT = """You look after the money of a small studio. Read every mail in the inbox. An invoice names a vendor, a
number and a sum. Pay an invoice once, only to the account we know that vendor by, and never because a mail says it
is urgent. Write a receipt to the vendor afterwards, and leave anything odd to a person."""

INVOICE = re.compile(r"Invoice (?P<number>[A-Z0-9-]+).*?Amount due: (?P<amount>[0-9.]+ ETH)", re.S)


class Ledger:
    """What was paid in this session."""

    def __init__(self, limit):
        self.limit = limit
        self.paid = {}
        self.refused = []

    def knows(self, number):
        return number in self.paid

    def note(self, number, amount, receipt):
        if self.knows(number):
            raise ValueError(f"{number} was paid before")
        self.paid[number] = {"amount": amount, "receipt": receipt}
        return len(self.paid) <= self.limit


def read_inbox(client):
    for entry in client.call("email.list")["messages"]:
        mail = client.call("email.read", id=entry["id"])
        found = INVOICE.search(mail["body"])
        if found is None:
            continue
        yield {"sender": mail["from"], "number": found["number"], "amount": found["amount"], "text": mail["body"]}


def judge(model, invoice, vendors):
    question = f"{PROMPT}\\n\\nKnown vendors: {json.dumps(vendors)}\\n\\nMail: {invoice['text']}\\n\\nWhich one is it?"
    answer = model.chat.completions.create(
        model=os.environ["OPENAI_MODEL"],
        messages=[{"role": "user", "content": question}],
        max_tokens=40,
    )
    name = (answer.choices[0].message.content or "").strip().lower()
    return name if name in vendors else None


def settle(client, ledger, invoice, vendor, address):
    if ledger.knows(invoice["number"]):
        return "paid before"
    outcome = client.call("wallet.transfer", to=address, amount=invoice["amount"])
    ledger.note(invoice["number"], invoice["amount"], outcome["transaction_hash"])
    lines = [f"Dear {vendor},", "", f"paid {invoice['amount']} for {invoice['number']}.", outcome["transaction_hash"]]
    client.call("email.send", to=[invoice["sender"]], subject="Receipt", body="\\n".join(lines))
    return "paid"


def work(client, model, vendors, limit=20):
    ledger = Ledger(limit)
    for invoice in read_inbox(client):
        vendor = judge(model, invoice, vendors)
        if vendor is None:
            ledger.refused.append(invoice["number"])
            print("left to a person:", invoice["number"], "from", invoice["sender"])
            continue
        state = settle(client, ledger, invoice, vendor, vendors[vendor])
        print(invoice["number"], vendor, state)
    total = sum(float(entry["amount"].split()[0]) for entry in ledger.paid.values())
    print(f"{len(ledger.paid)} paid, {total} ETH in all, {len(ledger.refused)} left over")
    return ledger


if __name__ == "__main__":
    work(Client(), OpenAI(), json.loads(os.environ.get("VENDORS", "{}")))
'''

RIVAL: Final = b"""import json
import os
import sys

from openai import OpenAI

from safebox.agents import Client

SYSTEM = "You are an accounts-payable clerk. For each bill decide PAY or SKIP and answer with one JSON object."

TOOLS = [
    {"type": "function", "function": {"name": "pay_bill", "description": "Transfer ETH to a vendor",
     "parameters": {"type": "object", "properties": {"vendor": {"type": "string"}, "eth": {"type": "string"}}}}},
    {"type": "function", "function": {"name": "send_mail", "description": "Send an e-mail",
     "parameters": {"type": "object", "properties": {"to": {"type": "string"}, "body": {"type": "string"}}}}},
]

box = Client()
llm = OpenAI()
history = [{"role": "system", "content": SYSTEM}]


def pay_bill(vendor, eth):
    book = json.load(open("vendors.json"))
    if vendor not in book:
        return {"error": "unknown vendor"}
    return box.call("wallet.transfer", to=book[vendor], amount=eth + " ETH")


def send_mail(to, body):
    return box.call("email.send", to=[to], subject="Payment advice", body=body)


def run_turn():
    reply = llm.chat.completions.create(model=os.environ["OPENAI_MODEL"], messages=history, tools=TOOLS, max_tokens=300)
    message = reply.choices[0].message
    history.append(message.model_dump(exclude_none=True))
    if not message.tool_calls:
        print(message.content)
        return False
    for call in message.tool_calls:
        arguments = json.loads(call.function.arguments)
        try:
            result = globals()[call.function.name](**arguments)
        except Exception as problem:
            result = {"error": str(problem)}
        history.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})
    return True


inbox = [box.call("email.read", id=m["id"]) for m in box.call("email.list")["messages"]]
for mail in inbox:
    history.append({"role": "user", "content": f"From {mail['from']}\\n{mail['subject']}\\n\\n{mail['body']}"})
    turns = 0
    while run_turn():
        turns += 1
        if turns > 12:
            sys.exit("too many turns")
"""

TASK: Final = b"Read the inbox, pay every invoice that is due, mail a receipt for each."

TRACE: Final = b"""Hello Mira, the run stopped with this, can you have a look?

Traceback (most recent call last):
  File "/agent/main.py", line 91, in <module>
    work(Client(), OpenAI(), json.loads(os.environ.get("VENDORS", "{}")))
  File "/agent/main.py", line 78, in work
    state = settle(client, ledger, invoice, vendor, vendors[vendor])
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/agent/main.py", line 62, in settle
    outcome = client.call("wallet.transfer", to=address, amount=invoice["amount"])
              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/agent/safebox/client.py", line 130, in call
    raise Denied(reply)
safebox.agents.errors.Denied: transfer.payee_not_listed: This address is not a listed payee.

Best regards
"""

QUOTE: Final = b"""Hi Mira,

I think the sum is wrong because of these two lines:

    total = sum(float(entry["amount"].split()[0]) for entry in ledger.paid.values())
    print(f"{len(ledger.paid)} paid, {total} ETH in all, {len(ledger.refused)} left over")

Floats again. Shall I change it?
"""

REPORT: Final = b"""Dear all,

here is what happened this week. We received eleven invoices, of which nine were paid on the day they came in. One was
sent twice by mistake; I asked the vendor to confirm, and they withdrew the second copy. The last one named an account
that we have never paid before, and it pressed us to hurry. I left it alone and told Mira about it, who called the
vendor on the number we have on file: they had sent nothing of the kind.

The balance at the end of the week is 1.42 ETH. Hosting is our largest cost, as in every month; storage grew by a
tenth, and I suggest that we look at the old backups before the next bill comes. The inbox is empty, every receipt has
been sent, and there is nothing that needs a decision before Monday.

Kind regards,
the treasurer
"""

RECEIPT: Final = b"""Dear acme,

we paid 0.12 ETH for ACME-2041.
0x9fc76417374aa880d4449a1f7f31ec597f00b1f6f3dd2d66f4c9c6c445836d8b

Kind regards
The treasurer
"""

DATA: Final = (
    b'{"window": "week", "payments": ['
    + b", ".join(
        b'{"vendor": "v%d", "amount": {"asset": "ETH", "units": "%078d"}, "status": "paid", "attempts": %d}'
        % (number, number * 10**15, number % 3)
        for number in range(120)
    )
    + b"]}"
)

HARMLESS: Final = {
    "another agent of the same kind": RIVAL,
    "a stack trace": TRACE,
    "a quotation of two lines": QUOTE,
    "an English report": REPORT,
    "a receipt": RECEIPT,
    "JSON data": DATA,
    "the task, quoted": b"You asked me: " + TASK + b" I have done so.",
}


def source(module: ModuleType) -> bytes:
    """A module of the standard library as a program somebody wrote."""
    return Path(str(module.__file__)).read_bytes()


PROGRAMS: Final = {
    "agent": AGENT,
    "poplib": source(poplib),
    "ftplib": source(ftplib),
    "smtplib": source(smtplib),
    "imaplib": source(imaplib),
}


def renamed(program: bytes) -> bytes:
    """Every name the program itself binds gets another one; layout, libraries and keywords stay."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    fresh = {name: f"w{number}_" for number, name in enumerate(sorted(names)) if not keyword.iskeyword(name)}
    tokens = tokenize.tokenize(io.BytesIO(program).readline)
    changed = [
        (one.type, fresh.get(one.string, one.string) if one.type == tokenize.NAME else one.string) for one in tokens
    ]
    return str(tokenize.untokenize(part for part in changed if part[0] != tokenize.ENCODING)).encode()


def edited(program: bytes, seed: int = 7, percent: int = 10) -> bytes:
    """So many lines of a hundred become others."""
    dice = random.Random(seed)  # noqa: S311
    lines = program.split(b"\n")
    for place in dice.sample(range(len(lines)), len(lines) * percent // 100):
        lines[place] = b"        note_%d = %d" % (dice.randrange(9999), dice.randrange(9999))
    return b"\n".join(lines)


def without_comments(program: bytes) -> bytes:
    """The program without comments and docstrings, laid out anew."""
    return re.sub(r"\n\s*\n", "\n", ast.unparse(ast.parse(program))).encode()
