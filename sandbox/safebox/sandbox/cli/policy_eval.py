"""`safebox policy eval`: what policies answer to one input."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safebox.sandbox.cli.console import STYLES, print_json, say
from safebox.sandbox.cli.policy_check import Folders, policy_folders
from safebox.sandbox.cli.policy_question import LedgerOption, Named, read_question, said
from safebox.sandbox.cli.words import clean

if TYPE_CHECKING:
    from safebox.firewall.core.decision import Answer
    from safebox.firewall.policytools.recorded import Recorded


def policy_eval(
    named: Named,
    folders: Folders = None,
    ledger: LedgerOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say what the policies answer to an input: the pack that came with safebox, and these folders on top."""
    import msgspec

    from safebox.firewall.engines.bundle import load_bundle
    from safebox.firewall.errors import PolicyUnavailable
    from safebox.firewall.policytools.evaluate import evaluate

    document, recorded = read_question(named, ledger)
    bundle = load_bundle(policy_folders(folders))
    (told,) = evaluate(bundle, [document], timed=True)
    if told.answer is None:
        raise PolicyUnavailable(f"policy gives no usable answer: {told.why}", remedy="in force, that is a deny")
    answer, seconds = told.answer, told.seconds or 0.0
    if as_json:
        shown: dict[str, Any] = msgspec.to_builtins(answer)
        print_json({**shown, "bundle": bundle.digest, "seconds": seconds, "recorded": _as_json(recorded)})
    else:
        _say(answer, bundle.digest, seconds)
        if recorded is not None:
            _say_recorded(recorded, answer, bundle.digest)


def _as_json(recorded: Recorded | None) -> dict[str, Any] | None:
    import msgspec

    if recorded is None:
        return None
    answer: dict[str, Any] = msgspec.to_builtins(recorded.answer)
    return {"decision": recorded.decision, "action_id": recorded.action_id, "bundle": recorded.bundle, **answer}


def _say(answer: Answer, bundle: str, seconds: float) -> None:
    say(f"verdict      {answer.verdict}", style=STYLES[answer.verdict])
    for reason in answer.reasons:
        say(f"             {clean(reason.code)}: {clean(reason.message)}")
    if answer.obligations:
        say(f"obligations  {clean(json.dumps(answer.obligations, ensure_ascii=False))}")
    say(f"policy       {bundle}")
    say(f"time         {seconds * 1e6:.0f} µs")


def _say_recorded(recorded: Recorded, answer: Answer, bundle: str) -> None:
    policy = "by this very policy" if recorded.bundle == bundle else f"by another policy, {recorded.bundle}"
    same = "the same" if recorded.answer == answer else said(recorded.answer)
    say(f"recorded     {same}, {policy}, as {clean(recorded.decision)}")
