"""The metrics' names, labels and bounds."""

from __future__ import annotations

import re
from pathlib import Path

from safebox.firewall.core.decision import Reason, Verdict
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.counts import OTHER
from safebox.firewall.metrics import CODES_MAX, VALUES_MAX, Metrics
from safebox.firewall.reasons import KNOWN_CODES

POLICIES = Path(__file__).parents[3] / "policies"
CODE = re.compile(r'"code": "([a-z_]+\.[a-z_]+)"')

DOCUMENTED: dict[str, set[str]] = {
    "safebox_decisions_total": {"verdict", "tool", "code"},
    "safebox_decision_reasons_total": {"code", "tool"},
    "safebox_policy_monitored_total": {"code"},
    "safebox_decision_duration_seconds": set(),
    "safebox_call_duration_seconds": {"tool"},
    "safebox_effects_total": {"connector", "status"},
    "safebox_effects_without_allow_total": set(),
    "safebox_ledger_events_total": set(),
    "safebox_ledger_commit_duration_seconds": set(),
    "safebox_ledger_failures_total": {"cause"},
    "safebox_ledger_verified": set(),
    "safebox_checkpoint_behind_records": {"place"},
    "safebox_checkpoint_behind_seconds": {"place"},
    "safebox_price_age_seconds": {"asset"},
    "safebox_price_usable": {"asset"},
    "safebox_policy_loaded": set(),
    "safebox_policy_reload_failing": set(),
    "safebox_policy_reloads_total": {"result"},
    "safebox_engine_errors_total": {"kind"},
    "safebox_connector_up": {"connector"},
    "safebox_connector_errors_total": {"connector", "code"},
    "safebox_runs": {"state"},
    "safebox_runs_at_depth": {"depth"},
    "safebox_trees": set(),
    "safebox_compute_forgotten": set(),
    "safebox_children_total": {"outcome"},
    "safebox_wallet_over_ceiling": set(),
    "safebox_wallet_stranded": set(),
    "safebox_wallet_sweeps_total": set(),
    "safebox_chain_vanished_total": set(),
    "safebox_port_failures_total": {"port"},
    "safebox_chain_reads_total": {"method"},
    "safebox_signing_refused_total": {"method", "code"},
    "safebox_requests_total": {"gateway", "status"},
    "safebox_holds_open": {"kind"},
    "safebox_hold_oldest_seconds": {"kind"},
    "safebox_holds_over_total": {"outcome"},
    "safebox_votes_total": {"verdict"},
    "safebox_stalls_total": set(),
    "safebox_stall_timestamp_seconds": set(),
}


class Nowhere:
    """A second place that has kept nothing."""

    def behind_records(self) -> int:
        return 3

    def behind_seconds(self) -> float:
        return 0.5


def touched() -> Metrics:
    """Metrics of which every method was called once."""
    metrics = Metrics()
    metrics.decided("email.send", Verdict.DENY, (Reason("email.not_granted", "no"),), 1e-4)
    metrics.answered("email.send", 1e-3)
    metrics.monitored((Reason("email.not_granted", "no"),))
    metrics.effect("mail", "done")
    metrics.effect_without_allow()
    metrics.port_failed("engine")
    metrics.ledger_committed(3, 1e-3)
    metrics.ledger_failed("disk_full")
    metrics.ledger_verified(intact=True)
    metrics.checkpoints_kept([Nowhere()])
    metrics.follow_prices({"ETH": (lambda: 1.0, lambda: 1.0)})
    metrics.engine_error("shape")
    metrics.policy(loaded=True, failing=False)
    metrics.policy_reloaded("ok")
    metrics.connector_up("mail", up=True)
    metrics.connector_error("mail", "firewall.effect_failed")
    metrics.runs("live", 1)
    metrics.over_ceiling(0)
    metrics.swept()
    metrics.chain_read("eth_getBalance")
    metrics.unsigned("eth_sendTransaction", "request.invalid")
    metrics.request("tools", 200)
    metrics.holds([("approvals", 1.5)])
    metrics.hold_over("released")
    metrics.voted("approve")
    return metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_the_names_and_labels_are_exactly_the_documented_ones() -> None:
    found: dict[str, set[str]] = {}
    for family in touched().registry.collect():
        for sample in family.samples:
            plain = re.sub(r"_(bucket|sum|count)$", "", sample.name)
            found.setdefault(plain, set()).update(set(sample.labels) - {"le"})
    assert {name: labels for name, labels in found.items() if name.startswith("safebox_")} == DOCUMENTED


def test_every_code_of_the_policies_is_there_at_zero_before_anything_happens() -> None:
    codes = {
        code for file in POLICIES.rglob("*.rego") if "_test" not in file.name for code in CODE.findall(file.read_text())
    }
    assert codes
    assert codes <= set(KNOWN_CODES)
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in Metrics().registry.collect()
        for sample in family.samples
    }
    for code in codes:
        for tool in KNOWN_CODES[code]:
            labels = {"code": code, "tool": tool}
            assert samples["safebox_decision_reasons_total", frozenset(labels.items())] == 0
            assert samples["safebox_decisions_total", frozenset({**labels, "verdict": "deny"}.items())] == 0


def test_a_decision_counts_once_by_its_first_reason_and_each_reason_once() -> None:
    metrics = Metrics()
    reasons = (Reason("transfer.over_budget", "a"), Reason("transfer.fee_cap", "b"))
    metrics.decided("wallet.transfer", Verdict.DENY, reasons, 1e-4)
    labels = {"tool": "wallet.transfer", "verdict": "deny"}
    assert value(metrics, "safebox_decisions_total", **labels, code="transfer.over_budget") == 1
    assert value(metrics, "safebox_decisions_total", **labels, code="transfer.fee_cap") == 0
    assert value(metrics, "safebox_decision_reasons_total", tool="wallet.transfer", code="transfer.fee_cap") == 1
    assert value(metrics, "safebox_decision_duration_seconds_count") == 1


def test_an_allow_counts_without_a_code() -> None:
    metrics = Metrics()
    metrics.decided("email.send", Verdict.ALLOW, (), 1e-4)
    assert value(metrics, "safebox_decisions_total", verdict="allow", tool="email.send", code="") == 1


def test_what_is_only_monitored_is_counted_by_code_and_as_no_denial() -> None:
    metrics = Metrics()
    assert value(metrics, "safebox_policy_monitored_total", code="email.not_granted") == 0
    assert value(metrics, "safebox_policy_monitored_total", code="main.caller") is None, "it is always enforced"
    metrics.decided("email.send", Verdict.ALLOW, (), 1e-4)
    metrics.monitored((Reason("email.not_granted", "a"), Reason("site.hours", "b")))
    assert value(metrics, "safebox_policy_monitored_total", code="email.not_granted") == 1
    assert value(metrics, "safebox_policy_monitored_total", code="site.hours") == 1
    assert value(metrics, "safebox_decision_reasons_total", code="email.not_granted", tool="email.send") == 0
    metrics.monitored([Reason(f"site.rule_{number}", "no") for number in range(2 * CODES_MAX)])
    samples = [s for f in metrics.registry.collect() if f.name == "safebox_policy_monitored" for s in f.samples]
    assert len(samples) <= CODES_MAX + 2
    assert (value(metrics, "safebox_policy_monitored_total", code=OTHER) or 0) > 0


def test_codes_beyond_the_limit_are_counted_as_other() -> None:
    metrics = Metrics()
    for number in range(2 * CODES_MAX):
        metrics.decided("email.send", Verdict.DENY, (Reason(f"site.rule_{number}", "no"),), 1e-4)
    samples = [s for f in metrics.registry.collect() if f.name == "safebox_decision_reasons" for s in f.samples]
    assert len({sample.labels["code"] for sample in samples}) <= CODES_MAX + 2
    total = sum(sample.value for sample in samples)
    assert total == 2 * CODES_MAX
    assert (value(metrics, "safebox_decision_reasons_total", tool="email.send", code=OTHER) or 0) > 0


def test_a_tool_an_agent_made_up_is_no_label() -> None:
    metrics = Metrics()
    metrics.decided("email.send\n0x41", Verdict.DENY, (Reason("request.unknown_tool", "no"),), 1e-4)
    metrics.answered("email.sendx", 1e-3)
    assert b"0x41" not in metrics.render()
    assert b"sendx" not in metrics.render()
    assert value(metrics, "safebox_call_duration_seconds_count", tool=OTHER) == 1


def test_other_labels_are_bounded_too() -> None:
    metrics = Metrics()
    for number in range(1000):
        metrics.ledger_failed(f"cause {number}")
        metrics.engine_error(f"kind {number}")
        metrics.port_failed(f"port {number}")
        metrics.connector_error(f"connector {number}", "code")
        metrics.request(f"gateway {number}", 200)
    assert metrics.render().count(b"\n") < 20 * (VALUES_MAX + CODES_MAX)
    assert value(metrics, "safebox_port_failures_total", port=OTHER) == 1000


def test_two_firewalls_in_one_process_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.swept()
    assert value(first, "safebox_wallet_sweeps_total") == 1
    assert value(second, "safebox_wallet_sweeps_total") == 0


def test_every_tool_has_its_call_durations_from_the_start() -> None:
    for tool in TOOLS:
        assert value(Metrics(), "safebox_call_duration_seconds_count", tool=tool) == 0
