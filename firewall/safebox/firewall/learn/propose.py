"""Puts a proposal together, writes it down, and proves it on what was recorded."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from safebox.firewall.core.decision import Verdict
from safebox.firewall.core.windows import SECOND
from safebox.firewall.drill.judge import Judge
from safebox.firewall.engines.layers import policy_layers
from safebox.firewall.errors import ConfigError, SafeboxError
from safebox.firewall.learn.again import Judged, judge_again
from safebox.firewall.learn.grant import Grant, Line
from safebox.firewall.learn.overlay import DATA, overlay
from safebox.firewall.learn.usage import Usage, read_usage
from safebox.firewall.mandate.file import FILE_NAME, load, load_file
from safebox.firewall.policytools.golden import FOLDER as GOLDEN
from safebox.firewall.policytools.golden import INPUTS

POLICIES: Final = "policies"
CASES_MAX: Final = 50
"""Golden cases that are written: people look through them."""
HEADROOM_MAX: Final = 1_000
_NOT_POLICY: Final = {"budget", "firewall"}
"""How codes begin that no policy gives."""


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """What is proposed, and what the recorded run came to under it. `files` is by path, as they would be written."""

    run: str
    agent: str
    lines: tuple[Line, ...]
    doubts: dict[str, str]
    files: dict[str, str]
    problem: str | None
    judged: tuple[Judged, ...]

    @property
    def wrong(self) -> tuple[Judged, ...]:
        """Recorded actions that the proposal judges otherwise than it should."""
        return tuple(each for each in self.judged if not each.fine)

    @property
    def proven(self) -> bool:
        """Whether all that was allowed still is, and nothing else."""
        return self.problem is None and not self.wrong


async def propose(
    ledger: Path,
    *,
    run: str | None = None,
    include: frozenset[str] = frozenset(),
    headroom: int = 0,
    policies: Sequence[Path] = (),
) -> Proposal:
    """Learn from a recorded run.

    Args:
        ledger: the file, or a firewall's state folder.
        run: which one; None if there is only one.
        include: decisions that were no yes and are to be one.
        headroom: percent on top of every number.
        policies: overlays that are in force anyhow.

    Raises:
        ConfigError: if there is no such ledger, run or decision, it is damaged, or it was allowed nothing.
    """
    if not 0 <= headroom <= HEADROOM_MAX:
        raise ConfigError(f"a headroom of {headroom} % makes no sense", remedy=f"0 to {HEADROOM_MAX}")
    usage, events = read_usage(ledger, run, include)
    if not usage.allowed:
        raise ConfigError(
            f"{usage.started.run} was allowed nothing, so nothing can be learned from it",
            remedy="name another run, or decisions it should have been allowed: --include DECISION",
        )
    grant = Grant(usage, headroom=headroom, command=_command(usage))
    files = _files(usage, grant)
    mandate = load(
        files[FILE_NAME], now=datetime.fromtimestamp(usage.started.at_ns / SECOND, UTC), source=FILE_NAME
    ).mandate
    with tempfile.TemporaryDirectory(prefix="safebox-learn-") as place:
        write(files, Path(place))
        with contextlib.closing(Judge(policy_layers([*policies, Path(place) / POLICIES]))) as judge:
            judged = await judge_again(judge, mandate, events, include)
    return Proposal(
        run=usage.started.run,
        agent=usage.mandate.agent,
        lines=tuple(grant.lines),
        doubts=usage.doubts,
        files=files | _golden(judged),
        problem=judge.problem,
        judged=tuple(judged),
    )


def write(files: dict[str, str], folder: Path) -> None:
    """Write a proposal's files into a folder.

    Raises:
        ConfigError: if one of them is there already, or can't be written.
    """
    for name, text in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError as error:
            raise ConfigError(f"{path} is there already", remedy="name an empty folder: --out DIR") from error
        except OSError as error:
            raise ConfigError(f"{path} can't be written: {error.strerror}", remedy="name another folder") from error


def _command(usage: Usage) -> tuple[str, ...] | None:
    """What starts the agent, as the file beside it says, if that is still there."""
    folder = usage.started.folder
    if folder is None:
        return None
    try:
        file = load_file(Path(folder), now=datetime.fromtimestamp(usage.started.at_ns / SECOND, UTC))
    except SafeboxError:
        return None
    return file.command if file.mandate.agent == usage.mandate.agent else None


def _files(usage: Usage, grant: Grant) -> dict[str, str]:
    rego, table, origins = overlay(usage, grant.more)
    rows = [f"| `{line.place}` | {line.origin} |" for line in grant.lines]
    rows += [f"| `{DATA}`: {place} | {by} |" for place, by in origins.items()]
    about = [
        "# Where each number comes from\n",
        f"Learned from the run `{usage.started.run}`, {usage.allowed} allowed actions.",
        "\n| what | from |\n|---|---|",
        *(row.replace("\n", " ") for row in rows),
    ]
    return {
        FILE_NAME: grant.text(),
        f"{POLICIES}/{DATA}": _json(table),
        **{f"{POLICIES}/{name}": text for name, text in rego.items()},
        "ORIGINS.md": "\n".join(about) + "\n",
    }


def _golden(judged: Sequence[Judged]) -> dict[str, str]:
    """The recorded actions as golden cases, one for each tool, verdict and code; empty if none was allowed."""
    inputs: dict[str, Any] = {}
    cases: dict[tuple[str, str, tuple[str, ...]], Judged] = {}
    for each in judged:
        if each.got == Verdict.ALLOW:
            inputs.setdefault(each.tool, json.loads(each.document))
        if not {code.partition(".")[0] for code in each.codes} & _NOT_POLICY:
            cases.setdefault((each.tool, each.got, each.codes), each)
    base = next(iter(inputs), "")
    listed = {_sentence(each): _case(base, each) for each in list(cases.values())[:CASES_MAX] if base}
    return {f"{GOLDEN}/{INPUTS}": _json({"inputs": inputs}), f"{GOLDEN}/learned.json": _json({"learned": listed})}


def _sentence(case: Judged) -> str:
    codes = f" with {', '.join(case.codes)}" if case.codes else ""
    return f"{case.tool} is answered {case.got}{codes}, as for {case.decision}"


def _case(base: str, case: Judged) -> dict[str, Any]:
    changed = {f"/{part}": value for part, value in json.loads(case.document).items()}
    return {"base": base, "set": changed, "verdict": case.got, "codes": list(case.codes)}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
