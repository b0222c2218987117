"""All metrics there are. Names and labels are API: alerts and dashboards are built on them.

Rule 1: every label value is bounded. No run, address or text of an agent ever becomes a label; past its limit a label
says "other".
Rule 2: children are made before anything happens, so that `increase()` sees the step from 0 to 1.
Rule 3: a child is looked up once and kept; a decision costs a few microseconds to count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from safebox.firewall.core.decision import Reason, Verdict
from safebox.firewall.core.kinship import SPAWN
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.counts import OTHER, Bounded, Counts, all_of
from safebox.firewall.errors import FirewallError, LedgerUnavailable, PolicyUnavailable
from safebox.firewall.mandate.grants import DEPTH_MAX
from safebox.firewall.reasons import KNOWN_CODES
from safebox.firewall.standing import STATES

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
CODES_MAX: Final = 256
"""Reason codes told apart: several times what the policies have, and still a page of series."""
VALUES_MAX: Final = 64
"""Values of any other label that comes from outside this file."""

DECISION_BUCKETS: Final = (
    25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0,
)  # fmt: skip
"""From a decision in memory to one that policy should have been stopped at; seconds."""
CALL_BUCKETS: Final = (*DECISION_BUCKETS, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Calls wait for blocks and for models; seconds."""

PORTS: Final = ("engine", "ledger", "connector", "facts", "clock")
_EFFECTS: Final = ("done", "failed", "unknown", "pending")
_HOLDING: Final = ("transfer.approve_above", "transfer.challenge_above", "provenance.untrusted_value")
_BIRTHS: Final = ("started", "failed", "refused")
_HOLDS: Final = ("approvals", "challenge")
_VOTES: Final = ("approve", "deny", "invalid")
_OVER: Final = ("released", "denied", "refused", "expired", "void")
_ENFORCED: Final = frozenset({"main", "shape", "freeze", "hold", "budget", "policy", "firewall", "request"})
"""Domains whose codes are never only monitored: the firewall gives them itself, or the others stand on them."""


class Behind(Protocol):
    """A second place of the ledger's checkpoints."""

    def behind_records(self) -> int:
        """How many records it doesn't vouch for."""
        ...

    def behind_seconds(self) -> float:
        """How long it has lacked one."""
        ...


class Metrics:
    """Counts what the firewall does, in a registry of its own; every method is cheap and never raises."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._make_decisions()
        self._make_ledger()
        self._make_outside()
        self._make_holds()

    def _make_decisions(self) -> None:
        tools, codes = all_of(TOOLS), Bounded(KNOWN_CODES, CODES_MAX)
        self._decisions = Counts(
            self._counter("safebox_decisions", "Decisions, by the first reason.", "verdict", "tool", "code"),
            all_of(Verdict), tools, Bounded(("", *KNOWN_CODES), CODES_MAX),
        )  # fmt: skip
        self._reasons = Counts(
            self._counter("safebox_decision_reasons", "Reasons given, all of each decision.", "code", "tool"),
            codes, tools,
        )  # fmt: skip
        self._monitored = Counts(
            self._counter("safebox_policy_monitored", "Reasons of rules that are only monitored.", "code"), codes
        )
        self._monitored.start((code,) for code in KNOWN_CODES if code.split(".")[0] not in _ENFORCED)
        pairs = [(code, tool) for code, about in KNOWN_CODES.items() for tool in about]
        self._reasons.start(pairs)
        self._decisions.start((Verdict.DENY.value, tool, code) for code, tool in pairs)
        self._decisions.start((Verdict.ALLOW.value, tool, "") for tool in TOOLS)
        self._decisions.start((Verdict.HOLD.value, "wallet.transfer", code) for code in _HOLDING)
        self._decision_seconds = Histogram(
            "safebox_decision_duration_seconds", "From a call to its decision.",
            buckets=DECISION_BUCKETS, registry=self.registry,
        )  # fmt: skip
        calls = Histogram(
            "safebox_call_duration_seconds", "From a call to its answer.", ("tool",),
            buckets=CALL_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._call_seconds = {tool: calls.labels(tool) for tool in (*TOOLS, OTHER)}

    def _make_ledger(self) -> None:
        self._ledger_events = self._counter("safebox_ledger_events", "Events made durable.")
        self._ledger_seconds = Histogram(
            "safebox_ledger_commit_duration_seconds", "One durable commit, of one or many events.",
            buckets=DECISION_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._ledger_failures = Counts(
            self._counter("safebox_ledger_failures", "Commits that could not be made durable.", "cause"),
            Bounded((), VALUES_MAX),
        )
        self._ledger_failures.start([(OTHER,)])
        self._ledger_verified = self._gauge("safebox_ledger_verified", "1 if the last verification found no fault.")
        self._unkept_records = self._gauge(
            "safebox_checkpoint_behind_records", "Records a second place doesn't vouch for.", "place"
        )
        self._unkept_seconds = self._gauge(
            "safebox_checkpoint_behind_seconds", "How long a second place has lacked a checkpoint.", "place"
        )
        self.policy_loaded = self._gauge("safebox_policy_loaded", "1 if a policy bundle is in force and can be asked.")
        self._policy_failing = self._gauge("safebox_policy_reload_failing", "1 while an edited policy can't be used.")
        self._policy_reloads = Counts(
            self._counter("safebox_policy_reloads", "Attempts to put a policy bundle in force.", "result"),
            Bounded(("ok", "failed"), VALUES_MAX),
        )
        self._policy_reloads.start([("ok",), ("failed",)])
        self._engine_errors = Counts(
            self._counter("safebox_engine_errors", "Policy gave no usable answer.", "kind"),
            Bounded(("error", "panic", "shape", "undefined", "input", "timeout"), VALUES_MAX),
        )
        self._engine_errors.start([(kind,) for kind in ("error", "panic", "shape", "undefined", "input", "timeout")])
        self._stalls = self._counter("safebox_stalls", "Actions in the ledger that ended a firewall judging them.")
        self._stalls_told = 0
        self._stalled_at = self._gauge(
            "safebox_stall_timestamp_seconds", "When a firewall was last ended by its watchdog or a crash; 0: not seen."
        )

    def _make_outside(self) -> None:
        connectors = sorted({tool.connector for tool in TOOLS.values()})
        self._effects = Counts(
            self._counter("safebox_effects", "Effects, by how they ended.", "connector", "status"),
            Bounded(connectors, VALUES_MAX), all_of(_EFFECTS),
        )  # fmt: skip
        self._effects.start((name, status) for name in connectors for status in _EFFECTS)
        self._bare_effects = self._counter("safebox_effects_without_allow", "Effects found without an allow: a bug.")
        self._connector_up = self._gauge("safebox_connector_up", "1 if the far side answers.", "connector")
        self._connectors = Bounded(connectors, VALUES_MAX)
        self._connector_errors = Counts(
            self._counter("safebox_connector_errors", "Effects a connector could not do.", "connector", "code"),
            self._connectors, Bounded(KNOWN_CODES, CODES_MAX),
        )  # fmt: skip
        failures = (
            "firewall.effect_failed", "firewall.effect_unknown", "firewall.facts_unavailable",
            "firewall.signer_refused",
        )  # fmt: skip
        self._connector_errors.start((name, code) for name in connectors for code in failures)
        self._port_failures = Counts(
            self._counter("safebox_port_failures", "A part of the firewall could not answer.", "port"), all_of(PORTS)
        )
        self._port_failures.start((port,) for port in PORTS)
        self._runs = self._gauge("safebox_runs", "Runs known, by state.", "state")
        self._run_states = Bounded(STATES, VALUES_MAX)
        for state in STATES:
            self._runs.labels(state)
        self._depths = self._gauge("safebox_runs_at_depth", "Live runs, by how deep they descend; 0 began it.", "depth")
        self._trees = self._gauge("safebox_trees", "Trees of runs that have a live one.")
        self._children = Counts(
            self._counter("safebox_children", "Children asked for, by what came of it.", "outcome"),
            Bounded(_BIRTHS, VALUES_MAX),
        )
        self._children.start((outcome,) for outcome in _BIRTHS)
        self.trees({}, 0)
        self._forgotten = self._gauge(
            "safebox_compute_forgotten", "Instances that may run although their provider doesn't know them."
        )
        self._over_ceiling = self._gauge("safebox_wallet_over_ceiling", "Wallets above their mandate's ceiling.")
        self._stranded = self._gauge(
            "safebox_wallet_stranded", "Wallets of ended runs that hold what could not be swept."
        )
        self._sweeps = self._counter("safebox_wallet_sweeps", "Wallets swept to the owner.")
        self._vanished = self._counter(
            "safebox_chain_vanished", "Payments that were final and are on the chain no more."
        )
        self._chain_reads = Counts(
            self._counter("safebox_chain_reads", "Chain reads passed on for agents.", "method"),
            Bounded((), VALUES_MAX),
        )
        self._unsigned = Counts(
            self._counter(
                "safebox_signing_refused", "Wallet requests that no decision was needed to refuse.", "method", "code"
            ),
            Bounded((OTHER,), VALUES_MAX), Bounded((), VALUES_MAX),
        )  # fmt: skip
        self._requests = Counts(
            self._counter("safebox_requests", "Requests answered inside sandboxes.", "gateway", "status"),
            Bounded(("tools", "inference", "ethereum"), VALUES_MAX), Bounded((), VALUES_MAX),
        )  # fmt: skip

        self._price_age = self._gauge("safebox_price_age_seconds", "How old a feed's price is.", "asset")
        self._price_usable = self._gauge(
            "safebox_price_usable", "1 if a feed's price is young enough for totals.", "asset"
        )

    def _make_holds(self) -> None:
        self._open_holds = self._gauge("safebox_holds_open", "Held actions that wait, for people or silence.", "kind")
        self._oldest_hold = self._gauge("safebox_hold_oldest_seconds", "How long the oldest of them waits.", "kind")
        self.holds(())
        self._votes = Counts(
            self._counter("safebox_votes", "Answers of approvers; invalid ones count for nothing.", "verdict"),
            all_of(_VOTES),
        )
        self._votes.start((verdict,) for verdict in _VOTES)
        self._holds_over = Counts(
            self._counter("safebox_holds_over", "Held actions that wait no more, by what came of it.", "outcome"),
            all_of(_OVER),
        )
        self._holds_over.start((outcome,) for outcome in _OVER)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def decided(self, tool: str, verdict: Verdict, reasons: Sequence[Reason], seconds: float) -> None:
        """One decision, `seconds` after its call came in."""
        self._decisions.child((verdict, tool, reasons[0].code if reasons else "")).inc()
        for reason in reasons:
            self._reasons.child((reason.code, tool)).inc()
        if tool == SPAWN and verdict is Verdict.DENY:
            self.child("refused")
        self._decision_seconds.observe(seconds)

    def monitored(self, reasons: Sequence[Reason]) -> None:
        """What rules in monitor mode said of one decision."""
        for reason in reasons:
            self._monitored.child((reason.code,)).inc()

    def answered(self, tool: str, seconds: float) -> None:
        """One call answered, however it ended, after `seconds`."""
        (self._call_seconds.get(tool) or self._call_seconds[OTHER]).observe(seconds)

    def effect(self, connector: str, status: str) -> None:
        """One effect ended as done, failed or unknown, or happened and is pending until nothing can undo it."""
        self._effects.child((connector, status)).inc()

    def effect_without_allow(self) -> None:
        """An effect was found that no allow names: must never count."""
        self._bare_effects.inc()

    def failed(self, error: FirewallError) -> None:
        """Something could not answer: count its port, and for policy the kind of failure."""
        self.port_failed(error.port)
        if isinstance(error, PolicyUnavailable):
            self.engine_error(error.kind)
        elif isinstance(error, LedgerUnavailable):
            self.ledger_failed(error.kind)

    def port_failed(self, port: str) -> None:
        """A port (one of `PORTS`) could not answer."""
        self._port_failures.child((port,)).inc()

    def ledger_committed(self, events: int, seconds: float) -> None:
        """One durable commit of so many events."""
        self._ledger_events.inc(events)
        self._ledger_seconds.observe(seconds)

    def ledger_failed(self, cause: str) -> None:
        """A commit failed; `cause` is a short word, never a message."""
        self._ledger_failures.child((cause,)).inc()

    def ledger_verified(self, *, intact: bool) -> None:
        """What the last verification said."""
        self._ledger_verified.set(intact)

    def checkpoints_kept(self, places: Sequence[Behind]) -> None:
        """What second places lack is asked of them at each scrape; they are numbered as they were named."""
        for number, place in enumerate(places, 1):
            self._unkept_records.labels(str(number)).set_function(place.behind_records)
            self._unkept_seconds.labels(str(number)).set_function(place.behind_seconds)

    def follow_prices(self, gauges: Mapping[str, tuple[Callable[[], float], Callable[[], float]]]) -> None:
        """By asset of the owner's price file: how old its price is, and whether it counts; asked at each scrape."""
        for asset, (age, usable) in gauges.items():
            self._price_age.labels(asset).set_function(age)
            self._price_usable.labels(asset).set_function(usable)

    def engine_error(self, kind: str) -> None:
        """Policy gave no usable answer; `kind` is `PolicyUnavailable.kind`."""
        self._engine_errors.child((kind,)).inc()

    def policy(self, *, loaded: bool, failing: bool) -> None:
        """Whether a bundle is in force, and whether a newer one on disk can't be used."""
        self.policy_loaded.set(loaded)
        self._policy_failing.set(failing)

    def policy_reloaded(self, result: str) -> None:
        """One attempt to put a bundle in force: "ok" or "failed"."""
        self._policy_reloads.child((result,)).inc()

    def stalls(self, total: int) -> None:
        """How many stalls the ledger knows of: of all firewalls, so that the count goes on after a restart."""
        self._stalls.inc(total - self._stalls_told)
        self._stalls_told = total

    def stalled_at(self, seconds: float) -> None:
        """When an earlier firewall was ended because it stalled or crashed, in Unix time."""
        self._stalled_at.set(seconds)

    def connector_up(self, name: str, *, up: bool) -> None:
        """Whether a connector's far side answered just now."""
        self._connector_up.labels(self._connectors(name)).set(up)

    def connector_error(self, name: str, code: str) -> None:
        """A connector could not do an effect or learn a fact."""
        self._connector_errors.child((name, code)).inc()

    def runs(self, state: str, n: int) -> None:
        """How many runs are in a state now."""
        self._runs.labels(self._run_states(state)).set(n)

    def trees(self, depths: Mapping[int, int], trees: int) -> None:
        """How many live runs are how deep now, and how many trees they are of."""
        for depth in range(DEPTH_MAX + 1):
            self._depths.labels(str(depth)).set(depths.get(depth, 0))
        self._trees.set(trees)

    def child(self, outcome: str) -> None:
        """One child that was asked for: started, failed (it was allowed and does not run) or refused."""
        self._children.child((outcome,)).inc()

    def forgotten(self, n: int) -> None:
        """How many rented instances their provider doesn't know although their time is not over."""
        self._forgotten.set(n)

    def holds(self, waiting: Sequence[tuple[str, float]]) -> None:
        """What waits now: "approvals" or "challenge", and since how many seconds."""
        for kind in _HOLDS:
            ages = [seconds for each, seconds in waiting if each == kind]
            self._open_holds.labels(kind).set(len(ages))
            self._oldest_hold.labels(kind).set(max(ages, default=0))

    def hold_over(self, outcome: str) -> None:
        """One hold waits no more: released, denied, refused, expired or void."""
        self._holds_over.child((outcome,)).inc()

    def voted(self, verdict: str) -> None:
        """One answer of an approver: approve, deny, or invalid."""
        self._votes.child((verdict,)).inc()

    def over_ceiling(self, n: int) -> None:
        """How many wallets hold more than their ceiling now."""
        self._over_ceiling.set(n)

    def stranded(self, n: int) -> None:
        """How many wallets of ended runs still hold what did not come home."""
        self._stranded.set(n)

    def swept(self) -> None:
        """One wallet was swept to the owner."""
        self._sweeps.inc()

    def vanished(self, n: int) -> None:
        """So many payments that were final are there no more."""
        self._vanished.inc(n)

    def chain_read(self, method: str) -> None:
        """One read passed on to the chain; `method` is from the gateway's table, never as the agent wrote it."""
        self._chain_reads.child((method,)).inc()

    def unsigned(self, method: str, code: str) -> None:
        """A request for the wallet to sign that can't be read, or never may; `method` is from the gateway's table."""
        self._unsigned.child((method, code)).inc()

    def request(self, gateway: str, status: int) -> None:
        """One request answered inside a sandbox, with its HTTP status."""
        self._requests.child((gateway, str(status))).inc()

    def render(self) -> bytes:
        """Everything in Prometheus's text format (`CONTENT_TYPE`)."""
        return generate_latest(self.registry)
