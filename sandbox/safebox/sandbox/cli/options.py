"""The options that set up a firewall: one set for `serve`, `run` and `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PoliciesOption = Annotated[
    list[Path] | None,
    typer.Option("--policies", metavar="DIR", help="An overlay on top of the pack; first a whole pack instead of it."),
]
OpaOption = Annotated[
    str | None,
    typer.Option("--opa", metavar="URL", help="An OPA server to decide, http://127.0.0.1:8181 or unix:/PATH."),
]
PlaybooksOption = Annotated[
    list[Path] | None, typer.Option("--playbooks", metavar="DIR", help="Playbooks of the scripted model.")
]
ChainOption = Annotated[
    list[str] | None,
    typer.Option("--chain-url", metavar="URL", help="An Ethereum node, further ones stand by; else a stand-in."),
]
ChainIdOption = Annotated[int | None, typer.Option("--chain-id", metavar="N", help="The only chain ever signed for.")]
ConfirmationsOption = Annotated[
    int | None,
    typer.Option("--confirmations", metavar="N", min=1, help="Blocks that must hold a payment until it is final."),
]
StuckOption = Annotated[
    str, typer.Option("--stuck", metavar="WAY", help="Payments not mined: wait, resend, replace or cancel.")
]
StuckAfterOption = Annotated[
    int, typer.Option("--stuck-after", metavar="SECONDS", min=1, help="When a payment is replaced or cancelled.")
]
MailOption = Annotated[str | None, typer.Option("--smtp-url", metavar="URL", help="A mail relay; else a local sink.")]
SenderOption = Annotated[str, typer.Option("--mail-from", metavar="ADDRESS", help="Whom mail comes from.")]
ModelOption = Annotated[
    str | None, typer.Option("--model-url", metavar="URL", help="An OpenAI-compatible model; else a scripted stand-in.")
]
PriceOption = Annotated[
    list[str] | None,
    typer.Option("--model-price", metavar="MODEL=IN,OUT", help="A model's price in micro-USD per 1,000 tokens."),
]
ComputeOption = Annotated[
    str | None, typer.Option("--compute-url", metavar="URL", help="A compute provider; else the local engine.")
]
RentOption = Annotated[
    list[str] | None,
    typer.Option("--compute-price", metavar="IMAGE=N", help="What a minute of an image costs there, in micro-USD."),
]
PricesOption = Annotated[
    Path | None, typer.Option("--prices", metavar="FILE", help="What assets cost, for mandates with a total.")
]
MetricsOption = Annotated[int, typer.Option("--metrics-port", metavar="PORT", help="Where /metrics is; 0 takes any.")]
EngineOption = Annotated[
    str | None, typer.Option("--engine", metavar="NAME", help="docker or bwrap; else what is there.")
]
FundOption = Annotated[
    list[str] | None,
    typer.Option("--fund", metavar="ADDRESS=WEI", help="What somebody owns on the stand-in chain at its first start."),
]
GovernanceOption = Annotated[
    Path | None,
    typer.Option("--governance", metavar="FILE", help="Judge only by signed bundles; FILE says who may sign."),
]
CheckpointOption = Annotated[
    list[str] | None,
    typer.Option(
        "--checkpoint-to", metavar="FILE_OR_URL", help="A second place for the ledger's checkpoints; may be repeated."
    ),
]
