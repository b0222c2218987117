"""The mandate file `safebox init` writes: commented, and valid as it is."""

from __future__ import annotations

from typing import Final

_TEMPLATE: Final = '''\
# What this agent may do. A section that is missing grants nothing; so does an empty list.
# `safebox mandate check safebox.toml` says in plain words what it all means.

[agent]
name = "{name}"
command = ["python", "main.py"]    # run in this folder, which the agent can read but not change
# image = "safebox/base"           # what it runs in
purpose = "Say in a sentence or two what this agent is for."
task = """
Say here what the agent should do now.
"""
expires = "30m"                    # after the start: 90s, 30m, 12h, 7d; or a moment: "2030-01-31T12:00:00Z"

[inference]
models = ["scripted:{name}"]       # "scripted:" plays playbook.toml and is no language model
tokens = 100000                    # question and answer together, over the whole run
budget = "1 USD"

# [budget]
# total = "25 USD"                # all of it together, at the prices of safebox serve --prices

# [wallet]
# chain = "dev"                    # a chain on this machine, without real money; also: sepolia, mainnet
# budget = "1 ETH"                 # all it may spend, fees included
# per_transfer = "0.5 ETH"
# per_day = "0.8 ETH"              # in any 24 hours, fees included; per_hour likewise
# ceiling = "2 ETH"                # what it holds above this goes back to the owner
# max_fee_per_gas = "100 gwei"
# approve_above = "0.3 ETH"        # people must approve what could take more, fee included
# challenge_above = "0.1 ETH"      # and this waits for a while in which they can say no
# [wallet.payees]                  # nobody else can be paid
# acme = "0x2b5ad5c4795c026514f8317c7a215e218dccd6cf"

# [approvals]                      # who: groups are in approvers.toml, see safebox approvals keygen
# group = "owners"
# needed = 1                       # so many of them
# expires = "1h"                   # nobody answered by then: it was a no
# window = "10m"                   # for challenge_above

# [mail]
# recipients = ["billing@acme.example"]    # exact addresses; nobody else can be written to
# per_hour = 20
# inbox = "inbox"                  # a folder beside this file with the mail it may read

# [compute]
# provider = "local"
# images = ["safebox/base"]        # NAME@sha256:… is that image and no other
# commands = [["python", "-c", "print(1)"]]    # exact command lines
# budget = "2 USD"
# instances = 1                    # at a time
# max_minutes = 10                 # each

# [tokens.USDC]                    # who may be let take how much of a token; it counts as spent at once
# address = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
# decimals = 6
# budget = "100 USDC"
# per_approval = "50 USDC"
# per_transfer = "20 USDC"         # at once to one of those it may pay
# ceiling = "200 USDC"             # what it holds above this goes back to the owner
# [tokens.USDC.payees]             # who may be paid in it
# acme = "0x2b5ad5c4795c026514f8317c7a215e218dccd6cf"
# [tokens.USDC.spenders]           # contracts, by their addresses
# router = "0x2b5ad5c4795c026514f8317c7a215e218dccd6cf"

# [contracts.shop]                 # what else may be called; addresses in arguments must be listed, too
# address = "0x7a250d5630B4cF539739dF2C5dAcb4c659F2488D"
# functions = ["buy(uint256)"]     # whole signatures
# value = "0.01 ETH"               # that may go along

# [signing]                        # messages, letter by letter but for {{number}}, {{word}} and {{time}}
# domains = ["app.acme.example"]   # to sign in to
# messages = ["I accept order {{number}}"]

# [web]
# per_hour = 60
# [web.hosts."api.acme.example"]   # exact names; nobody else can be reached
# ports = [443]
# methods = ["GET"]
# max_body = 0                     # bytes a request may carry

# [mcp]
# per_hour = 60
# [mcp.servers]                    # exact names of tools, by server
# files = ["read_file"]

# [lineage]                        # child runs, paid for out of this mandate
# children = 0
# depth = 0
# images = ["safebox/base"]
# commands = [["python", "child.py"]]
# per_hour = 10                    # children that may begin an hour, those of children included
'''


def template(name: str) -> str:
    """A commented `safebox.toml` for an agent of this name."""
    return _TEMPLATE.format(name=name)
