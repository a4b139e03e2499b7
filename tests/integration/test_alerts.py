"""Every alert fires when it should, is silent while all is well, and leads to what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from lando.api.metrics_page import chapters
from tests.services.promtool import promtool

ROOT = Path(__file__).parents[2]
RULES = ROOT / "docs" / "alerts.yaml"
ALERTS = [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
PAGE = "https://github.com/lando/lando/blob/main/docs/operations.md#"

LANDO, STANDBY = 'instance="lando-1"', 'instance="lando-2"'
WELL = {
    f"lando_active{{{LANDO}}}": "1x240",
    f"lando_active{{{STANDBY}}}": "0x240",
    f"lando_paused{{{LANDO}}}": "0x240",
    f"lando_oldest_work_seconds{{{LANDO}}}": "0x5 3 2 0x240",
    f'lando_queue_messages{{{LANDO},queue="lando",state="ready"}}': "0 400x5 0x240",
    f'lando_queue_messages{{{LANDO},queue="lando",state="dead"}}': "0x240",
    f"lando_dead_letters_refused_total{{{LANDO}}}": "0x240",
    f'lando_messages_total{{{LANDO},command="start",outcome="retried"}}': "0+1x240",
    f'lando_handoff_seconds_bucket{{{LANDO},le="1.0"}}': "0+10x240",
    f'lando_handoff_seconds_bucket{{{LANDO},le="+Inf"}}': "0+10x240",
    f'lando_infrastructure_retries_total{{{LANDO},step="run_workflow"}}': "0x60 2x180",
    f'lando_untold_total{{{LANDO},what="archive"}}': "0x240",
    f'lando_untold_total{{{LANDO},what="condition"}}': "0x60 4x180",
    f'lando_resync_findings{{{LANDO},trouble="stalled"}}': "0 3x30 0x240",
    f'lando_resync_findings{{{LANDO},trouble="unknown"}}': "0x240",
    f'lando_resync_findings{{{STANDBY},trouble="unknown"}}': "2x240",
    'lando_broker_blocks_publishing{instance="watcher-1"}': "0 1x3 0x240",
    'lando_watcher_last_event_age_seconds{instance="watcher-1"}': "60x240",
    'lando_watcher_relists_total{instance="watcher-1",kind="Job"}': "0x60 3x180",
    'lando_api_database_up{instance="server-1"}': "1x240",
    'lando_api_oldest_command_seconds{instance="server-1"}': "0 30 0x240",
    'lando_api_requests_total{instance="server-1",status="200"}': "0+100x240",
    'lando_api_requests_total{instance="server-1",status="503"}': "0+1x240",
    'lando_api_notices{instance="server-1",channel="mail",state="waiting"}': "0 3x50 0x240",
    'lando_api_notices{instance="server-1",channel="mail",state="failed"}': "2x240",
    'lando_api_definition_problems{instance="server-1"}': "0 2x5 0x240",
    'lando_api_definition_jobs_watched{instance="server-1"}': "1 0x5 1x240",
    'lando_api_definition_jobs_to_keep{instance="server-1"}': "0 3x20 0x240",
}
"""One sample a minute for four hours; among them what passes by itself."""
FAULTS: dict[str, dict[str, str | None]] = {
    "LandoDown": dict.fromkeys((f"lando_active{{{LANDO}}}", f"lando_active{{{STANDBY}}}")),
    "LandoNoneActive": {f"lando_active{{{LANDO}}}": "0x240"},
    "LandoStandbyMissing": {f"lando_active{{{STANDBY}}}": None},
    "LandoPaused": {f"lando_paused{{{LANDO}}}": "0x100 1x140"},
    "LandoStuck": {f"lando_oldest_work_seconds{{{LANDO}}}": "0+60x240"},
    "LandoQueueGrowing": {f'lando_queue_messages{{{LANDO},queue="lando",state="ready"}}': "0+10x240"},
    "LandoBrokerBlocks": {'lando_broker_blocks_publishing{instance="watcher-1"}': "0x200 1x40"},
    "LandoDeadLetters": {f'lando_queue_messages{{{LANDO},queue="lando",state="dead"}}': "0x200 1x40"},
    "LandoDeadLettersFull": {f"lando_dead_letters_refused_total{{{LANDO}}}": "0x200 1+1x40"},
    "LandoMessagesFail": {f'lando_messages_total{{{LANDO},command="start",outcome="retried"}}': "0+4x240"},
    "LandoHandoffSlow": {
        f'lando_handoff_seconds_bucket{{{LANDO},le="1.0"}}': "0+5x240",
        f'lando_handoff_seconds_bucket{{{LANDO},le="60.0"}}': "0+10x240",
    },
    "LandoRetriesRising": {f'lando_infrastructure_retries_total{{{LANDO},step="run_workflow"}}': "0x200 1+1x40"},
    "LandoArchiveFailing": {f'lando_untold_total{{{LANDO},what="archive"}}': "0x200 1+1x40"},
    "LandoUntold": {f'lando_untold_total{{{LANDO},what="condition"}}': "0x200 1+1x40"},
    "LandoResyncStays": {f'lando_resync_findings{{{LANDO},trouble="stalled"}}': "0x100 1x140"},
    "LandoUnknownObjects": {f'lando_resync_findings{{{LANDO},trouble="unknown"}}': "0x100 1x140"},
    "LandoWatcherDown": {'lando_watcher_last_event_age_seconds{instance="watcher-1"}': None},
    "LandoWatchSilent": {'lando_watcher_last_event_age_seconds{instance="watcher-1"}': "0+60x240"},
    "LandoWatchRelists": {'lando_watcher_relists_total{instance="watcher-1",kind="Job"}': "0+1x240"},
    "LandoServerDown": {'lando_api_database_up{instance="server-1"}': None},
    "LandoDatabaseDown": {'lando_api_database_up{instance="server-1"}': "1x200 0x40"},
    "LandoOutboxOld": {'lando_api_oldest_command_seconds{instance="server-1"}': "0x200 0+60x40"},
    "LandoServerErrors": {'lando_api_requests_total{instance="server-1",status="503"}': "0+10x240"},
    "LandoNoticesWait": {
        'lando_api_notices{instance="server-1",channel="mail",state="waiting"}': "0x100 1x140",
    },
    "LandoDefinitionProblems": {'lando_api_definition_problems{instance="server-1"}': "0x200 1x40"},
    "LandoDefinitionJobsUnwatched": {'lando_api_definition_jobs_watched{instance="server-1"}': "1x200 0x40"},
    "LandoDefinitionJobsNotKept": {'lando_api_definition_jobs_to_keep{instance="server-1"}': "0x180 1 2x60"},
}


def worlds() -> list[tuple[set[str], dict[str, str | None]]]:
    """The faults, together where they do not touch the same series; who is active is asked by other rules, too."""
    together: list[tuple[set[str], dict[str, str | None]]] = []
    for name, changes in FAULTS.items():
        for names, world in together:
            if not world.keys() & changes.keys() and "lando_active" not in "".join((*world, *changes)):
                names.add(name)
                world |= changes
                break
        else:
            together.append(({name}, dict(changes)))
    return together


def case(names: set[str], changes: dict[str, str | None]) -> dict[str, Any]:
    """One world for promtool: all is well but for ``changes``, at which the alerts of these names are to fire."""
    series = {**WELL, **changes}
    return {
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items() if values],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})',
                "eval_time": "235m",
                "exp_samples": [{"labels": "{}", "value": 1}] if name in names else [],
            }
            for name in FAULTS
        ],
    }


@pytest.mark.service("promtool")
def test_prometheus_takes_the_rules() -> None:
    checked = promtool("check", "rules", RULES)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.service("promtool")
def test_each_alert_fires_at_its_fault_and_at_no_other(tmp_path: Path) -> None:
    tests = [case(names, changes) for names, changes in ((set[str](), {}), *worlds())]
    document = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}
    file = tmp_path / "alerts_test.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    tested = promtool("test", "rules", file)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_each_alert_has_its_fault_here() -> None:
    assert [rule["alert"] for rule in ALERTS] == list(FAULTS)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_each_alert_says_what_is_the_matter_and_what_to_do_and_where_more_stands(rule: dict[str, Any]) -> None:
    told = rule["annotations"]
    assert told["summary"].endswith(".")
    assert told["action"].endswith(".")
    assert told["runbook_url"] == PAGE + rule["alert"].lower()
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs" / "operations.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rule["alert"] in headings
    declared = {one.name for _, figures in chapters() for one in figures.declared}
    asked = re.findall(r"\blando_\w+", rule["expr"])
    assert asked
    assert {re.sub(r"_bucket$", "", name) for name in asked} <= declared
