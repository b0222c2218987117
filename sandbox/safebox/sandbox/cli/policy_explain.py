"""`safebox policy explain`: why policies answered as they did, and what would have to differ for another answer."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from safebox.firewall.core.money import UNITS_WIDTH
from safebox.sandbox.cli.console import STYLES, is_rich, print_json, say
from safebox.sandbox.cli.policy_check import Folders, policy_folders
from safebox.sandbox.cli.policy_question import LedgerOption, Named, read_question, said
from safebox.sandbox.cli.words import clean, money, shorten

if TYPE_CHECKING:
    from safebox.firewall.policytools.explain import Explanation, Flip, Line, Spoken
    from safebox.firewall.policytools.recorded import Recorded

SHOWN: Final = 160
"""Characters of one value or line."""


def policy_explain(
    named: Named,
    folders: Folders = None,
    ledger: LedgerOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say which rules spoke about a decision, on which lines and values, and which single changes would end that.

    Judged by the pack that came with safebox, and these folders on top. Long and private texts are left out.
    """
    import msgspec

    from safebox.firewall.engines.bundle import load_bundle
    from safebox.firewall.policytools.explain import explain

    document, recorded = read_question(named, ledger)
    found = explain(load_bundle(policy_folders(folders)), document)
    if as_json:
        decision = None if recorded is None else {"decision": recorded.decision, "bundle": recorded.bundle}
        answer = None if recorded is None else msgspec.to_builtins(recorded.answer)
        print_json({**msgspec.to_builtins(found), "recorded": decision and {**decision, "answer": answer}})
    else:
        _say(found, recorded)


def _say(found: Explanation, recorded: Recorded | None) -> None:
    say(f"{said(found.answer)}", style=STYLES[found.answer.verdict])
    say(f"by policy {found.bundle}")
    if recorded is not None:
        _say_recorded(found, recorded)
    for spoken in (*found.reasons, *found.monitored, *found.allowing):
        say()
        _say_spoken(spoken)
    if found.together is not None:
        say(f"\nWith the first change for each reason made at once: {said(found.together)}")
    if found.cut_off:
        say("\nThe search for changes was cut off before it was through.", style="yellow")


def _say_recorded(found: Explanation, recorded: Recorded) -> None:
    same_policy = recorded.bundle == found.bundle
    if recorded.answer == found.answer:
        say(f"recorded as {clean(recorded.decision)}: the same, by {'this very' if same_policy else 'another'} policy")
        return
    say(f"recorded as {clean(recorded.decision)}: {said(recorded.answer)}", style="yellow")
    if same_policy:
        say("  the firewall itself said that, not policy: what it refuses, policy can't allow")
    else:
        say(f"  by another policy, {recorded.bundle}")


def _say_spoken(spoken: Spoken) -> None:
    bold, end = ("\x1b[1m", "\x1b[0m") if is_rich() else ("", "")
    about = ", ".join(clean(word) for word in (spoken.threat, spoken.severity) if word)
    title = f"  {clean(spoken.title)}" if spoken.title else ""
    say(f"{bold}{spoken.effect} {clean(spoken.code)}{end}{title}{f' ({about})' if about else ''}")
    if not spoken.file:
        say("  no rule says this; it is what is answered where none allows")
    else:
        say(f"  {clean(_short(spoken.file))}:{spoken.line}")
    for line in spoken.lines:
        _say_line(line, 1, spoken.file)
    if spoken.effect not in ("allow", "monitored"):
        _say_flips(spoken)


def _say_line(line: Line, depth: int, file: str) -> None:
    indent = "  " * depth
    where = f"{line.line}" if line.file == file else f"{clean(_short(line.file))}:{line.line}"
    mark = "✔" if line.holds else "✘"
    note = f"  ({clean(line.note)})" if line.note else ""
    say(f"{indent}{mark} {where}  {shorten(clean(line.text), SHOWN)}{note}")
    for value in line.values:
        shown = "absent" if value.absent else told(value.value)
        say(f"{indent}    {clean(value.path)} = {shown}")
    for inner in line.because:
        _say_line(inner, depth + 2, line.file)


def _say_flips(spoken: Spoken) -> None:
    if not spoken.flips:
        say("  no single change of one field was found that ends this")
    else:
        say("  it would not be said if (each change by itself)")
    for flip in spoken.flips:
        say(f"    {clean(flip.path)}: {_change(flip)}, then {said(flip.answer)}")
    if spoken.remedy:
        say(f"  → {clean(spoken.remedy)}")


def _change(flip: Flip) -> str:
    return f"{'absent' if flip.absent else told(flip.before)} → {told(flip.after)}"


def told(value: Any) -> str:
    """A value in few words: amounts as people write them."""
    match value:
        case {"asset": str(), "units": str(units)} if len(value) == 2 and units.isdecimal():  # noqa: PLR2004
            return money(value)
        case str() if _is_units(value):
            return f"{int(value)} smallest units"
        case _:
            return shorten(clean(json.dumps(_plain(value), ensure_ascii=False)), SHOWN)


def _plain(value: Any) -> Any:
    """A value in which amounts are without the zeros before them."""
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
        case list():
            return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
        case str() if _is_units(value):
            return str(int(value))
        case _:
            return value


def _is_units(text: str) -> bool:
    return len(text) == UNITS_WIDTH and text.isascii() and text.isdigit()


def _short(file: str) -> str:
    """A file as seen from here, if that is shorter."""
    return min(file, os.path.relpath(file), key=len) if os.path.isabs(file) else file
