"""What everybody writes: fingerprints of these lines say nothing about where a text comes from."""

from __future__ import annotations

import re
from typing import Final

_IMPORT: Final = re.compile(rb"(?m)^[ \t]*(?:import\s|from\s+\S+\s+import\s|#!|# -\*-|# ?SPDX|export \* from\s).*$")
_IMPORT_BLOCK: Final = re.compile(rb"(?ms)^from \S+ import \([^)]*\)")
_HEADER: Final = re.compile(rb"\A(?:[ \t]*(?:#|//|\*|/\*)[^\n]*\n|[ \t]*\n)+")
_LICENCE: Final = re.compile(rb"(?i)licen[sc]e|copyright|warranty")


def without_boilerplate(text: bytes) -> bytes:
    """Program text without imports and without a licence header."""
    header = _HEADER.match(text)
    if header is not None and _LICENCE.search(header[0]):
        text = text[header.end() :]
    return _IMPORT.sub(b"", _IMPORT_BLOCK.sub(b"", text))


IDIOMS: Final = rb"""
if __name__ == "__main__":
    main()
if __name__ == "__main__":
    sys.exit(main())
if __name__ == "__main__":
    asyncio.run(main())
def main() -> None:
def main() -> int:
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", type=str, default="", help="")
    parser.add_argument("--verbose", "-v", action="store_true", help="")
    args = parser.parse_args()
    args = parser.parse_args(argv)
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
logging.basicConfig(level=logging.INFO)
logger = logging.getLogger(__name__)
log = logging.getLogger(__name__)
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
    def __init__(self) -> None:
    def __enter__(self):
        return self
    def __exit__(self, exc_type, exc, tb):
    def __exit__(self, *args):
        self.close()
    def __repr__(self):
        return f"<{self.__class__.__name__}>"
    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"
    def __eq__(self, other):
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.name == other.name
    def __hash__(self):
        return hash(self.name)
with open(path) as f:
    return json.load(f)
with open(path, encoding="utf-8") as handle:
    data = json.load(handle)
with open(path, "w", encoding="utf-8") as f:
    json.dump(data, f, indent=2)
with open(path, "rb") as f:
    data = f.read()
for line in f:
    line = line.strip()
    if not line:
        continue
for i in range(len(items)):
for i, item in enumerate(items):
for key, value in items.items():
while True:
    try:
        time.sleep(1)
    except KeyboardInterrupt:
        break
    except Exception as e:
        print(f"Error: {e}")
    except Exception as error:
        logger.exception("failed")
        raise
response = requests.get(url, headers=headers, timeout=10)
response = requests.post(url, json=payload, headers=headers, timeout=30)
response.raise_for_status()
data = response.json()
return response.json()
headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
request = urllib.request.Request(url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
with urllib.request.urlopen(request, timeout=30) as response:
    return json.loads(response.read())
    return json.load(response)
client = OpenAI()
client = OpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"])
response = client.chat.completions.create(
    model=os.environ["OPENAI_MODEL"],
    model="gpt-4o-mini",
    messages=[
        {"role": "system", "content": SYSTEM_PROMPT},
        {"role": "user", "content": prompt},
    ],
    messages=messages,
    tools=tools,
    tool_choice="auto",
    temperature=0,
    max_tokens=512,
)
message = response.choices[0].message
messages.append(message)
return response.choices[0].message.content
if message.tool_calls:
    for call in message.tool_calls:
        args = json.loads(call.function.arguments)
        name = call.function.name
        messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})
tools = [{"type": "function", "function": {"name": "", "description": "", "parameters": {
    "type": "object", "properties": {"id": {"type": "string", "description": ""}}, "required": ["id"]}}}]
agent = create_agent(model, tools, system_prompt=SYSTEM_PROMPT)
result = agent.invoke({"messages": [{"role": "user", "content": task}]})
llm = ChatOpenAI(model=os.environ["OPENAI_MODEL"], temperature=0)
w3 = Web3(Web3.HTTPProvider(os.environ["WEB3_PROVIDER_URI"]))
w3 = Web3(Web3.HTTPProvider(url))
balance = w3.eth.get_balance(address)
tx_hash = w3.eth.send_transaction({"from": address, "to": to, "value": value})
tx = {"to": to, "value": value, "gas": 21000, "nonce": w3.eth.get_transaction_count(address)}
receipt = w3.eth.wait_for_transaction_receipt(tx_hash)
message = EmailMessage()
msg = EmailMessage()
msg["From"] = sender
msg["To"] = recipient
msg["Subject"] = subject
msg.set_content(body)
with smtplib.SMTP(host, port) as smtp:
    smtp.send_message(msg)
Traceback (most recent call last):
  File "main.py", line 1, in <module>
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:
Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with the
License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
"AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
"""
"""Lines of the standard library's and the agent frameworks' own documentation, and the common licences."""
