"""`safebox.toml`: the file in which a human grants a run what it may do, read strictly.

A section that is absent grants nothing, and so does an empty list. Nothing has a default that grants. A key nobody
knows is refused instead of ignored: a limit with a typing error would otherwise be no limit.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec

from safebox.firewall.core.mandate import ContractGrant, Mandate, TokenGrant
from safebox.firewall.errors import ConfigError
from safebox.firewall.mandate.approvals import approvals_grant, check_thresholds
from safebox.firewall.mandate.grants import (
    IMAGE_NAME,
    PLAIN_NAME,
    compute_grant,
    inbox_folder,
    inference_grant,
    lineage_grant,
    mail_grant,
    wallet_grant,
    words_of,
)
from safebox.firewall.mandate.onchain import contracts_grant, tokens_grant
from safebox.firewall.mandate.outside import mcp_grant, signing_grant, web_grant
from safebox.firewall.mandate.section import MandateErrors, Problem, Report, Section, duration, nearest, show
from safebox.firewall.mandate.toml import BYTES_MAX, TomlError, parse

__all__ = ["FILE_NAME", "SECTIONS", "MandateErrors", "Problem", "RunFile", "load", "load_file", "task_digest"]

FILE_NAME: Final = "safebox.toml"
DEFAULT_IMAGE: Final = "safebox/base"

TASK_MAX: Final = 16_384
PURPOSE_MAX: Final = 2_000
LIFETIME_MAX: Final = timedelta(days=366)
"""A year and a day: what should last longer is granted again by somebody who looks."""

SECTIONS: Final[dict[str, tuple[str, ...]]] = {
    "agent": ("name", "command", "image", "purpose", "task", "expires"),
    "budget": ("total",),
    "wallet": (
        "chain", "chain_id", "budget", "per_transfer", "per_hour", "per_day", "ceiling", "max_fee_per_gas", "payees",
        "approve_above", "challenge_above",
    ),
    "tokens": (),
    "contracts": (),
    "signing": ("domains", "messages"),
    "mail": ("recipients", "per_hour", "inbox"),
    "compute": ("provider", "images", "commands", "budget", "instances", "max_minutes"),
    "inference": ("models", "tokens", "budget"),
    "web": ("hosts", "per_hour"),
    "mcp": ("servers", "per_hour"),
    "lineage": ("children", "depth", "images", "commands", "per_hour"),
    "approvals": ("group", "needed", "expires", "window"),
}  # fmt: skip
"""Every section and key there is; in `[tokens]` and `[contracts]` each key is a name."""

_BY_NAME: Final = ("tokens", "contracts")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)


class RunFile(msgspec.Struct, frozen=True, kw_only=True):
    """A mandate and how its agent is started: a command in an image. `inbox` is a folder beside the file, or none."""

    mandate: Mandate
    name: str
    command: tuple[str, ...]
    image: str
    task: str
    inbox: str | None


def load_file(path: Path, *, now: datetime) -> RunFile:
    """Read the mandate at `path`, or the `safebox.toml` in it if it is a folder.

    Raises:
        ConfigError: if there is no such file, or it can't be read.
        MandateErrors: if its content is wrong; names every mistake.
    """
    path = path / FILE_NAME if path.is_dir() else path
    try:
        with path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no {path}", remedy="`safebox init` writes one to start from") from error
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}", remedy="check its permissions") from error
    if len(content) > BYTES_MAX:
        _fail(str(path), 0, f"it has more than {BYTES_MAX} bytes", "a file a person can read")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        _fail(str(path), line, f"byte {content[error.start]:#04x} is no UTF-8", "a file saved as UTF-8")
    return load(text, now=now, source=str(path))


def load(text: str, *, now: datetime, source: str) -> RunFile:
    """Read a mandate file.

    Args:
        text: the file's content.
        now: the start of the run, with its time zone; `expires` counts from it.
        source: the file's name, for the messages.

    Raises:
        MandateErrors: if anything at all is wrong; names every mistake, with its line.
    """
    try:
        document = parse(text)
    except TomlError as error:
        _fail(source, error.line, error.cause, error.expected)
    report = Report(document)
    sections = {name: _section(report, document.values, name) for name in SECTIONS if name not in _BY_NAME}
    tokens, contracts = _tokens(report, document.values), _contracts(report, document.values)
    for name in document.values:
        if name not in SECTIONS:
            report.wrong((name,), f"there is no section {show(name)}", nearest(name, SECTIONS))
    if "agent" not in document.values:
        report.wrong((), "there is no section [agent]", "[agent] with name, command, purpose, task and expires")
    run_file = _run_file(report, sections, tokens, contracts, now)
    if report.problems:
        raise MandateErrors(source, report.problems)
    return run_file


def _fail(source: str, line: int, cause: str, expected: str) -> NoReturn:
    raise MandateErrors(source, [Problem(line=line, key="", cause=cause, expected=expected)])


def _section(report: Report, values: dict[str, Any], name: str) -> Section | None:
    if name not in values:
        return None
    value = values[name]
    if not isinstance(value, dict):
        report.wrong((name,), f"{show(value)} is not accepted", f"a table [{name}]")
        return None
    return Section(report, (name,), value, SECTIONS[name])  # pyright: ignore[reportUnknownArgumentType]


def _tokens(report: Report, values: dict[str, Any]) -> tuple[TokenGrant, ...] | None:
    tables = _tables(report, values, "tokens", "approve from")
    return None if tables is None else tokens_grant(report, tables)


def _contracts(report: Report, values: dict[str, Any]) -> tuple[ContractGrant, ...] | None:
    tables = _tables(report, values, "contracts", "call from")
    return None if tables is None else contracts_grant(report, tables)


def _tables(report: Report, values: dict[str, Any], name: str, doing: str) -> dict[str, Any] | None:
    if name not in values:
        return None
    value = values[name]
    if not isinstance(value, dict):
        report.wrong((name,), f"{show(value)} is not accepted", f"tables [{name}.NAME]")
        return None
    if "wallet" not in values:
        report.wrong((name,), f"there is no wallet to {doing}", "a section [wallet], which pays the fees")
    return value  # pyright: ignore[reportUnknownVariableType]


def _run_file(
    report: Report,
    sections: dict[str, Section | None],
    tokens: tuple[TokenGrant, ...] | None,
    contracts: tuple[ContractGrant, ...] | None,
    now: datetime,
) -> RunFile:
    agent, wallet, mail = sections["agent"], sections["wallet"], sections["mail"]
    compute, inference, lineage = sections["compute"], sections["inference"], sections["lineage"]
    signing, web, mcp, budget = (sections[name] for name in ("signing", "web", "mcp", "budget"))
    approvals = approvals_grant(sections["approvals"]) if sections["approvals"] else None
    if wallet is not None:
        check_thresholds(wallet, approvals)
    name = agent.word("name", "lower-case letters, digits, '-' and '_'", PLAIN_NAME) if agent else ""
    task = agent.text("task", "the text of the task", most=TASK_MAX, lines=True) if agent else ""
    inbox = inbox_folder(mail) if mail else None
    return RunFile(
        mandate=Mandate(
            agent=name,
            purpose=agent.text("purpose", "what the agent is for", most=PURPOSE_MAX, lines=True) if agent else "",
            task_digest=task_digest(task),
            expires=_expires(agent, now) if agent else "",
            wallet=wallet_grant(wallet) if wallet else None,
            tokens=tokens,
            contracts=contracts,
            signing=signing_grant(signing) if signing else None,
            mail=mail_grant(mail, inbox) if mail else None,
            compute=compute_grant(compute) if compute else None,
            inference=inference_grant(inference) if inference else None,
            web=web_grant(report, web) if web else None,
            mcp=mcp_grant(report, mcp) if mcp else None,
            lineage=lineage_grant(lineage) if lineage else None,
            approvals=approvals,
            total=budget.amount("total", "USD", "25 USD") if budget else None,
        ),
        name=name,
        command=_command(agent) if agent else (),
        image=agent.word("image", "an image's name", IMAGE_NAME, default=DEFAULT_IMAGE) if agent else "",
        task=task,
        inbox=inbox,
    )


def task_digest(task: str) -> str:
    """The name of exactly this task text."""
    return "sha256:" + hashlib.sha256(task.encode()).hexdigest()


def _command(agent: Section) -> tuple[str, ...]:
    expected = 'a list of words, as in ["python", "main.py"]'
    return agent.read("command", expected, (), lambda path, value: words_of(agent, path[1:], value, expected))


def _expires(agent: Section, now: datetime) -> str:
    expected = 'a time after the start ("30m", "12h", "7d") or a moment ("2030-01-31T12:00:00Z")'
    return agent.read("expires", expected, "", lambda _, value: _moment(agent, value, now, expected))


def _moment(agent: Section, value: Any, now: datetime, expected: str) -> str | None:
    moment = _read_moment(value, now)
    if moment is None:
        agent.wrong("expires", f"{show(value)} is not accepted", expected)
    elif moment <= now:
        agent.wrong("expires", f"{show(value)} is over", "a moment to come")
    elif moment - now > LIFETIME_MAX:
        agent.wrong("expires", f"{show(value)} is too far off", f"at most {LIFETIME_MAX.days} days after the start")
    else:
        return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
    return None


def _read_moment(value: Any, now: datetime) -> datetime | None:
    if isinstance(value, datetime):
        return value if value.utcoffset() is not None else None
    if not isinstance(value, str):
        return None
    if after := duration(value):
        return now + timedelta(seconds=min(after, 10**9))
    if _MOMENT.fullmatch(value) is None:
        return None
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError:
        return None
