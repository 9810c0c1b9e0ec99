"""The files for Prometheus and Kubernetes are held against the metrics, settings and words of the code."""

import re
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from ledger.broker.port import Band
from ledger.broker.topology import work_queue
from ledger.settings import Settings, environment_name
from ledger.telemetry import METRICS, Role
from tests.services.command_names import every_command, options_of

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "OPERATIONS.md").read_text("utf-8")
PRODUCTION = (ROOT / "docs/production.md").read_text("utf-8")
RULES = cast(
    "list[dict[str, Any]]", yaml.safe_load((ROOT / "docs/alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
)
DEPLOYMENT, SCALED = cast(
    "list[dict[str, Any]]", list(yaml.safe_load_all((ROOT / "docs/keda.yml").read_text("utf-8")))
)
POD = DEPLOYMENT["spec"]["template"]["spec"]
WORKER = POD["containers"][0]
ENVIRONMENT = {one["name"]: one["value"] for one in WORKER["env"]}
TRIGGERS = [
    *SCALED["spec"]["triggers"],
    *(
        trigger
        for block in re.findall(r"```yaml\n(.*?)```", PRODUCTION, re.DOTALL)
        for trigger in (yaml.safe_load(block) or {}).get("triggers", [])
    ),
]

_LABELS = {metric.name: set(metric.labels) for metric in METRICS}
_OF_PROMETHEUS = {"job", "instance"}
_SELECTED = re.compile(r"(ledger_\w+)(?:\{([^}]*)\})?")
_STATES = {"ready", "waiting", "held", "running", "dead"}
# What a stop takes beyond the grace: claims under way, outcomes of the interrupted, the farewell (worker).
_BEYOND_GRACE_SECONDS = 10.0


def test_the_expressions_name_metrics_and_labels_that_there_are() -> None:
    queries = [rule["expr"] for rule in RULES] + [
        trigger["metadata"]["query"] for trigger in TRIGGERS if trigger["type"] == "prometheus"
    ]

    for query in queries:
        selected = _SELECTED.findall(query)
        assert selected, query
        labels = {label for name, _ in selected for label in _LABELS[name]} | _OF_PROMETHEUS
        for name, matchers in selected:
            assert set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", matchers)) <= _LABELS[name], query
        grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", query)
        assert {label.strip() for group in grouped for label in group.split(",")} <= labels, query


def test_the_values_that_the_expressions_select_are_told() -> None:
    text = " ".join([rule["expr"] for rule in RULES] + [SCALED["spec"]["triggers"][0]["metadata"]["query"]])
    states = re.findall(r'ledger_queue_tasks\{[^}]*state=~?"([^"]*)"', text)

    assert {state for one in states for state in one.split("|")} <= _STATES
    assert set(re.findall(r'role="(\w+)"', text)) <= {str(role) for role in Role}
    assert set(re.findall(r'reader!="(\w+)"', text)) == {"sealer"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_each_alert_has_its_runbook_and_says_what_is_wrong(rule: dict[str, Any]) -> None:
    runbook = re.search(rf"^### {rule['alert']}\n\n(.*?)(?=^##|\Z)", OPERATIONS, re.MULTILINE | re.DOTALL)

    assert runbook is not None
    assert len(runbook[1].split()) > 20
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["labels"]["severity"] in {"page", "ticket"}


def test_no_runbook_is_without_its_alert() -> None:
    assert re.findall(r"^### (Ledger\w+)$", OPERATIONS, re.MULTILINE) == [rule["alert"] for rule in RULES]


def test_the_worker_of_the_deployment_is_one() -> None:
    command, *options = WORKER["args"]

    assert {option for option in options if option.startswith("--")} <= options_of(every_command()[command])
    assert set(ENVIRONMENT) <= {environment_name(field) for field in Settings.model_fields}
    assert WORKER["livenessProbe"]["httpGet"]["path"] == "/health"
    assert str(WORKER["ports"][0]["containerPort"]) == ENVIRONMENT["LEDGER_METRICS_PORT"]


def test_a_pod_may_finish_its_tasks() -> None:
    grace_seconds = float(ENVIRONMENT["LEDGER_SHUTDOWN_GRACE_SECONDS"])

    assert POD["terminationGracePeriodSeconds"] >= grace_seconds + _BEYOND_GRACE_SECONDS


def test_the_scaler_counts_what_a_worker_of_that_deployment_takes() -> None:
    trigger = SCALED["spec"]["triggers"][0]["metadata"]

    assert SCALED["spec"]["scaleTargetRef"]["name"] == DEPLOYMENT["metadata"]["name"]
    assert trigger["threshold"] == ENVIRONMENT["LEDGER_WORKER_CONCURRENCY"]
    assert f'queue="{WORKER["args"][-1]}"' in trigger["query"]


def test_the_other_triggers_look_at_what_there_is() -> None:
    by_type = {trigger["type"]: trigger["metadata"] for trigger in TRIGGERS}

    assert by_type["rabbitmq"]["queueName"] == work_queue("default", Band.NORMAL)
    assert by_type["metrics-api"]["url"].endswith("/queues/default")
    assert by_type["metrics-api"]["valueLocation"] in {"ready", "running"}
