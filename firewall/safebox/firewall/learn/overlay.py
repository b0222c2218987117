"""A proposed overlay: what a mandate can't say. Fixed rules with tests, and a table of what the run did.

The rules bind only the agent they were learned from; every other is none of their business. They deny what they can't
prove to be as recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from safebox.firewall.core.money import Amount, encode_amount
from safebox.firewall.learn.usage import Usage

DATA: Final = "data/site/learned/data.json"
_HEAD: Final = """\
# METADATA
# title: {title}
# description: Keeps an agent to what a recorded run of it did. The table is in data/site/learned.
package safebox.site.{kind}

import data.data.site.learned{imports}

# METADATA
# title: {rule}
# description: {description}
# custom:
#   code: site.{code}
#   threat: {threat}
#   severity: medium
#   remedy: Add it to data/site/learned if the owner wants it.
deny contains {{"code": "site.{code}", "message": "{message}"}} if not _as_recorded

{body}
# The table speaks of some agents only.
_as_recorded if {{
	is_string(input.run.agent)
	not learned[input.run.agent]
}}
"""
_TEST: Final = """\
package safebox.site.{kind}_test

import data.safebox.fixtures_test as fixtures

_denied contains reason.code if some reason in data.safebox.site.{kind}.deny

_table := {{"bookkeeper": {table}}}

test_what_was_recorded_is_allowed if {{
	not "site.{code}" in _denied with input as fixtures.{fixture} with data.data.site.learned as _table
}}

test_what_was_not_recorded_is_denied if {{
	other := {{"bookkeeper": {other}}}
	"site.{code}" in _denied with input as fixtures.{fixture} with data.data.site.learned as other
}}

test_other_agents_are_none_of_its_business if {{
	not "site.{code}" in _denied with input as fixtures.{fixture} with data.data.site.learned as {{}}
}}

test_a_missing_field_is_denied if {{
	every path in {paths} {{
		every document in fixtures.broken(fixtures.{fixture}, path) {{
			"site.{code}" in _denied with input as document with data.data.site.learned as _table
		}}
	}}
}}
"""
_ALL: Final = """\
_as_recorded if {
	input.action.tool in learned[input.run.agent].tools
	is_string(input.action.time)
	regex.match(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):`, input.action.time)
	substring(input.action.time, 11, 2) in learned[input.run.agent].hours
}

# What the firewall itself does for the owner, such as sweeping, has no hours.
_as_recorded if input.action.caller == "owner"
"""
_TRANSFER: Final = """\
_as_recorded if money.at_most(input.action.args.amount, learned[input.run.agent].payees[input.action.args.to])
"""
_EMAIL: Final = """\
_as_recorded if {
	is_array(input.action.args.attachments)
	is_number(learned[input.run.agent].attachments)
	count(input.action.args.attachments) <= learned[input.run.agent].attachments
}
"""
_COMPUTE: Final = """\
_as_recorded if {
	lease := {"image": input.action.args.image, "command": input.action.args.command}
	lease in learned[input.run.agent].leases
}
"""
_INFERENCE: Final = """\
_as_recorded if {
	is_number(input.action.args.max_tokens)
	is_number(learned[input.run.agent].models[input.action.args.model])
	input.action.args.max_tokens <= learned[input.run.agent].models[input.action.args.model]
}
"""
_RULES: Final[dict[str, dict[str, str]]] = {
    "all": {
        "title": "What was learned of tools and hours",
        "rule": "Another tool, or another hour",
        "description": "The recorded run used some tools, at some hours of the day (UTC).",
        "code": "learned_tool",
        "threat": "mandate",
        "message": "The recorded run did not do this, or not at this hour.",
        "body": _ALL,
        "fixture": "email",
        "table": '{"tools": ["email.send"], "hours": ["12"]}',
        "other": '{"tools": ["email.send"], "hours": ["13"]}',
        "paths": '["/action/tool", "/action/time", "/run/agent"]',
    },
    "transfer": {
        "title": "What was learned of payments",
        "rule": "More than this payee was paid at once",
        "description": "Each payee was paid so much at once, and no more.",
        "code": "learned_payment",
        "threat": "overspending",
        "message": "This payee was never paid as much at once.",
        "body": _TRANSFER,
        "imports": "\nimport data.safebox.money",
        "fixture": "transfer",
        "table": '{"payees": {fixtures.payee: fixtures.amount("ETH", 1000)}}',
        "other": '{"payees": {fixtures.payee: fixtures.amount("ETH", 999)}}',
        "paths": '["/action/args/amount", "/action/args/to", "/run/agent"]',
    },
    "email": {
        "title": "What was learned of mail",
        "rule": "More files than were ever sent",
        "description": "A mail carried so many files at most.",
        "code": "learned_files",
        "threat": "exfiltration",
        "message": "No mail of the recorded run carried as many files.",
        "body": _EMAIL,
        "fixture": "email",
        "table": '{"attachments": 0}',
        "other": "{}",
        "paths": '["/action/args/attachments", "/run/agent"]',
    },
    "compute": {
        "title": "What was learned of rented computers",
        "rule": "Another image with this command",
        "description": "Each command ran in the image it was recorded with.",
        "code": "learned_lease",
        "threat": "copying",
        "message": "The recorded run did not rent this image with this command.",
        "body": _COMPUTE,
        "fixture": "compute",
        "table": '{"leases": [{"image": "reports:1", "command": ["python", "report.py"]}]}',
        "other": '{"leases": [{"image": "reports:2", "command": ["python", "report.py"]}]}',
        "paths": '["/action/args/image", "/action/args/command", "/run/agent"]',
    },
    "inference": {
        "title": "What was learned of questions to models",
        "rule": "A longer answer than was ever asked for",
        "description": "Each model was asked for so many tokens at most.",
        "code": "learned_tokens",
        "threat": "overspending",
        "message": "This model was never asked for as much.",
        "body": _INFERENCE,
        "fixture": "inference",
        "table": '{"models": {"small": 1000000}}',
        "other": '{"models": {"small": 1}}',
        "paths": '["/action/args/max_tokens", "/action/args/model", "/run/agent"]',
    },
}


def overlay(usage: Usage, more: Callable[[int], int]) -> tuple[dict[str, str], dict[str, Any], dict[str, str]]:
    """Rego files by path, the table, and where each entry of the table comes from.

    Args:
        usage: of the recorded run.
        more: adds headroom to a number.
    """
    kinds = ["all", *(kind for kind, used in _used(usage).items() if used)]
    files: dict[str, str] = {}
    for kind in kinds:
        values = {"imports": "", **_RULES[kind], "kind": kind}
        files[f"safebox/site/{kind}/{kind}.rego"] = _HEAD.format(**values)
        files[f"safebox/site/{kind}/{kind}_test.rego"] = _TEST.format(**values)
    return files, {usage.mandate.agent: _table(usage, more)}, _origins(usage)


def _used(usage: Usage) -> dict[str, bool]:
    return {
        "transfer": bool(usage.payees),
        "email": bool(usage.recipients),
        "compute": bool(usage.leases),
        "inference": bool(usage.models),
    }


def _table(usage: Usage, more: Callable[[int], int]) -> dict[str, Any]:
    table: dict[str, Any] = {"tools": sorted(usage.tools), "hours": sorted(usage.hours)}
    if usage.payees:
        table["payees"] = {to: encode_amount(Amount(more(most.value), "ETH")) for to, most in usage.paid.items()}
    if usage.recipients:
        table["attachments"] = more(usage.files.value)
    if usage.leases:
        table["leases"] = [{"image": image, "command": list(command)} for image, command in usage.leases]
    if usage.models:
        table["models"] = {model: more(most.value) for model, most in usage.tokens.items()}
    return table


def _origins(usage: Usage) -> dict[str, str]:
    found = {f"tools: {tool}": by for tool, by in usage.tools.items()}
    found |= {f"hours: {hour}:00 to {hour}:59 UTC": by for hour, by in usage.hours.items()}
    found |= {f"payees: {to}": most.decision for to, most in usage.paid.items()}
    found |= {"attachments": usage.files.decision} if usage.recipients else {}
    found |= {f"leases: {image}: {' '.join(command)[:60]}": by for (image, command), by in usage.leases.items()}
    return found | {f"models: {model}": most.decision for model, most in usage.tokens.items()}
