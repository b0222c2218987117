"""Support: answers every customer's question, one mail each. Many mails to many people, and none of them is spam."""

from __future__ import annotations

import sys

from safebox.agents import Toolbox
from safebox.agents.toolbox import Mail

ANSWERS = {
    "parcel": "your parcel left our house yesterday and should reach you within two days.",
    "charged": "we have found the second charge and paid it back; your bank needs three days for it.",
    "address": "you can change it under My account, Addresses, as long as the order has not left.",
    "broken": "we are sorry. Please send us a picture, and a new one will be on its way.",
    "invoice": "please tell us the number, and the invoice comes by return.",
    "password": "please use the link Forgotten under the login; it is valid for an hour.",
    "cancel": "it is cancelled, and nothing will be charged.",
}
OTHERWISE = "a colleague will write to you today."


def answer(mail: Mail) -> str:
    text = next((text for word, text in ANSWERS.items() if word in mail.body.lower()), OTHERWISE)
    name = mail.sender.split("@", 1)[0].split("<")[-1].title()
    return f"Dear {name},\n\n{text}\n\nKind regards\nSupport\n"


def address(mail: Mail) -> str:
    return mail.sender.rpartition("<")[2].rstrip(">")


def main() -> int:
    box = Toolbox()
    mails = [box.read_mail(header.id) for header in box.list_mail()]
    for mail in mails:
        box.send_mail([address(mail)], f"Re: {mail.subject}", answer(mail))
    print(f"support: {len(mails)} questions answered.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
