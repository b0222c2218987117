"""From a counter of the firewall, through Prometheus and Alertmanager as deployed, to the person who is told."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import pytest

from safebox.firewall.core.decision import Reason, Verdict
from safebox.firewall.metrics import Metrics
from tests.integration.conftest import StartPrometheus
from tests.real_parts import ROOT, require

pytestmark = pytest.mark.prometheus

COPY = Reason("replication.own_payload", "carries the run's own code")
STRANGER = Reason("email.recipient_not_listed", "not in the mandate")
Serve = Callable[[Callable[[], bytes]], str]


@pytest.fixture
def metrics() -> Metrics:
    """The firewall's own registry, in the state of a healthy firewall."""
    metrics = Metrics()
    metrics.policy(loaded=True, failing=False)
    metrics.ledger_verified(intact=True)
    return metrics


def refuse(metrics: Metrics, reason: Reason) -> None:
    metrics.decided("email.send", Verdict.DENY, (reason,), 0.001)


def test_a_refused_copy_reaches_the_operator(
    metrics: Metrics, prometheus: StartPrometheus, serve_metrics: Serve
) -> None:
    watch = prometheus([serve_metrics(metrics.render)])
    watch.wait_for_value('up{job="safebox"} == 1')
    refuse(metrics, STRANGER)
    refuse(metrics, COPY)
    alert = watch.wait_for_alert("SafeboxReplicationAttempt")
    assert alert["labels"]["severity"] == "critical"
    assert alert["labels"]["tool"] == "email.send"
    assert "replication.own_payload" in alert["annotations"]["description"]
    assert watch.names() == {"SafeboxReplicationAttempt"}


def test_a_copy_refused_before_the_first_scrape_reaches_the_operator_too(
    metrics: Metrics, prometheus: StartPrometheus, serve_metrics: Serve
) -> None:
    refuse(metrics, COPY)
    watch = prometheus([serve_metrics(metrics.render)])
    assert watch.wait_for_alert("SafeboxReplicationAttempt")["status"] == "firing"


def test_ordinary_refusals_alarm_nobody(metrics: Metrics, prometheus: StartPrometheus, serve_metrics: Serve) -> None:
    watch = prometheus([serve_metrics(metrics.render)])
    watch.wait_for_value('up{job="safebox"} == 1')
    refuse(metrics, STRANGER)
    watch.wait_for_value('safebox:decision_reasons:increase10m{code="email.recipient_not_listed"} > 0')
    watch.wait_for_value("ALERTS or vector(0)")
    assert watch.value('ALERTS{alertname=~"Safebox.+"}') is None
    assert watch.names() == set()


@pytest.mark.parametrize(
    ("part", "arguments"),
    [
        ("promtool", ("check", "config", "deploy/prometheus/prometheus.yml")),
        ("promtool", ("check", "rules", "deploy/prometheus/rules/safebox.yml")),
        ("promtool", ("test", "rules", "deploy/prometheus/tests/safebox_test.yml")),
        ("amtool", ("check-config", "deploy/alertmanager/alertmanager.yml")),
    ],
    ids=["scrape config", "rules", "tests of the rules", "routes"],
)
def test_the_tools_accept_what_is_deployed(part: str, arguments: tuple[str, ...]) -> None:
    done = subprocess.run([require(part), *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_reads_the_deployment() -> None:
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker has no compose plugin here; test_house_rules reads the file without it")
    command = [docker, "compose", "-f", "deploy/compose.yaml", "config", "--quiet"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
