"""``lando explain``: the evidence behind a sentence, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Make = Callable[..., dict[str, Any]]
RUN = "GET /api/lando/v1/runs/3"
EVIDENCE = "GET /api/lando/v1/runs/3/evidence"
SENTENCE = "Container main was ended for using more memory than its limit of 2Gi."


def evidence(**changes: Any) -> dict[str, Any]:
    """What the archive keeps of one attempt."""
    ended = {
        "reason": "OOMKilled",
        "exitCode": 137,
        "startedAt": "2026-03-04T15:06:10Z",
        "finishedAt": "2026-03-04T15:07Z",
    }
    return {
        "step": "run_workflow",
        "attempt": 2,
        "judged": "2026-03-04T15:07:07Z",
        "verdict": "Failed",
        "cause": {"category": "resources", "sentence": SENTENCE, "advice": "Give it more.", "exit_code": 137},
        "rule": {"name": "out-of-memory", "saw": "ended container OOMKilled", "fails": "at once"},
        "job": {
            "name": "run-workflow-3-ada",
            "created": "2026-03-04T15:06:09Z",
            "deleted": None,
            "pods": {"failed": 1},
            "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}],
        },
        "pods": [
            {
                "name": "run-workflow-3-ada-x7k2p",
                "phase": "Failed",
                "node": "node-7",
                "conditions": [{"type": "Ready", "status": "False", "reason": "PodFailed"}],
                "containers": [
                    {
                        "name": "main",
                        "image": "tool:1",
                        "restarts": 0,
                        "limits": {"memory": "2Gi"},
                        "requests": {},
                        "state": {"terminated": ended},
                        "last_state": None,
                    }
                ],
            }
        ],
        "events": [
            {
                "about": "Pod x",
                "reason": "BackOff",
                "message": "back-off\x1b[31m [red]",
                "count": 3,
                "last": "2026-03-04T15:07Z",
            }
        ],
        "log_tail": "tool 1 of 2\nKilled\n",
        **changes,
    }


@pytest.fixture
def failed(document: Make) -> dict[str, Any]:
    cause = {"step": "run_workflow", "category": "resources", "sentence": SENTENCE, "text": "Killed"}
    return document(state="Error", cause=cause, ended="2026-03-04T15:07:07Z")


def test_a_failure_is_shown_with_its_rule_and_all_that_was_seen(api: Any, lando: Any, failed: dict[str, Any]) -> None:
    api.on(RUN, failed)
    api.on(EVIDENCE, {"kept": True, "evidence": [evidence(attempt=1), evidence()]})
    outcome = lando("explain", 3)

    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0].startswith('run 3 "batch 17" (qc/1): Error')
    assert lines[1] == "run workflow, attempt 2: Failed, judged 2026-03-04T15:07:07Z"
    assert lines[2] == f"├── why: {SENTENCE}"
    assert "├── rule: out-of-memory; docs/causes.md has them all" in lines
    assert "├── it saw: ended container OOMKilled" in lines
    assert "│   └── condition Failed True, BackoffLimitExceeded" in lines
    assert "├── Pod run-workflow-3-ada-x7k2p: Failed, node node-7" in lines
    assert any("now terminated, OOMKilled, exit code 137, 2026-03-04T15:06:10Z to" in line for line in lines)
    assert any("limits: memory 2Gi" in line for line in lines)
    assert any("Pod x, BackOff (3 times): back-off [31m [red]" in line for line in lines)
    assert "    └── Killed" in lines
    assert lines[-1].startswith("earlier: run workflow, attempt 1: Failed")
    assert "\x1b" not in outcome.out


def test_a_tools_last_words_are_not_shown_as_advice(api: Any, lando: Any, failed: dict[str, Any]) -> None:
    cause = {"category": "user", "sentence": SENTENCE, "advice": "Its last words: sorry"}
    api.on(RUN, failed)
    api.on(EVIDENCE, {"kept": True, "evidence": [evidence(cause=cause)]})
    shown = lando("explain", 3).out
    assert "├── besides: Its last words: sorry\n" in shown
    assert "what to do" not in shown


def test_a_wait_is_shown_with_what_was_seen(api: Any, lando: Any, document: Make) -> None:
    sentence = "No node has enough memory left."
    api.on(RUN, document(condition={"step": "run_workflow", "sentence": sentence}))
    kept = evidence(verdict="Waiting", pods=[], events=[], log_tail="", cause={"sentence": sentence})
    kept["rule"] = {"name": "no-memory", "saw": "pod condition PodScheduled Unschedulable", "fails": "after patience"}
    api.on(EVIDENCE, {"kept": True, "evidence": [kept]})
    outcome = lando("explain", 3)

    assert outcome.code == 0, outcome.err
    assert "run workflow, attempt 2: Waiting" in outcome.out
    assert f"why: {sentence}" in outcome.out
    assert "rule: no-memory, a wait that fails after patience;" in outcome.out


def test_the_attempts_of_a_step_are_shown_below_the_runs_own_sentence(
    api: Any, lando: Any, failed: dict[str, Any]
) -> None:
    api.on(RUN, failed)
    api.on(EVIDENCE, {"kept": True, "evidence": [evidence(attempt=1, cause={"sentence": "Evicted."}), evidence()]})
    lines = lando("explain", 3, "--step", "run_workflow").out.splitlines()

    assert lines[1] == f"why: {SENTENCE}"
    assert [line for line in lines if "attempt" in line and not line.startswith(" ")] == [
        "run workflow, attempt 1: Failed, judged 2026-03-04T15:07:07Z",
        "run workflow, attempt 2: Failed, judged 2026-03-04T15:07:07Z",
    ]


def test_a_run_that_is_well_says_so(api: Any, lando: Any, document: Make) -> None:
    api.on(RUN, document())
    api.on(EVIDENCE, {"kept": True, "evidence": []})

    assert lando("explain", 3).out.splitlines()[1:] == ["It has not failed, and nothing keeps it waiting."]


def test_a_wait_of_no_step_has_no_evidence_to_miss(api: Any, lando: Any, document: Make) -> None:
    api.on(RUN, document(state="Starting", condition={"step": None, "sentence": "It waits for the broker."}))
    api.on(EVIDENCE, {"kept": True, "evidence": []})

    assert lando("explain", 3).out.splitlines()[1:] == ["waits for: It waits for the broker."]


def test_a_cause_without_evidence_is_told_as_such(api: Any, lando: Any, failed: dict[str, Any]) -> None:
    api.on(RUN, failed)
    api.on(EVIDENCE, {"kept": False, "evidence": []})

    assert "No evidence of that is kept" in lando("explain", 3).out


def test_programs_get_the_documents_as_they_are(api: Any, lando: Any, failed: dict[str, Any]) -> None:
    api.on(RUN, failed)
    api.on(EVIDENCE, {"kept": True, "evidence": [evidence()]})
    outcome = lando("explain", 3, "--step", "run_workflow", "--json")

    told = json.loads(outcome.out)
    assert (told["id"], told["state"], told["cause"]["sentence"]) == (3, "Error", SENTENCE)
    assert told["evidence"] == [evidence()]
    assert (EVIDENCE, "step=run_workflow") in [(route, query) for route, query, _ in api.asked]


def test_a_run_of_somebody_else_is_not_known(lando: Any) -> None:
    outcome = lando("explain", 4)

    assert outcome.code != 0
    assert "knows no run 4 of yours" in outcome.err


def test_of_several_steps_that_failed_each_is_shown(api: Any, lando: Any, document: Make) -> None:
    steps = [{"name": name, "state": "Failed", "phase": "load", "entry": "fetch"} for name in ("a", "b")]
    cause = {"step": None, "category": "user", "sentence": "2 steps failed, a first.", "text": ""}
    api.on(RUN, document(kind="phases", state="Error", cause=cause, steps=steps))
    api.on(EVIDENCE, {"kept": True, "evidence": [evidence(step="a", attempt=1), evidence(step="b", attempt=1)]})
    lines = lando("explain", 3).out.splitlines()
    assert "2 steps failed, a first." in lines[1]
    assert [line for line in lines if ", attempt 1: Failed" in line] == [
        f"{name}, attempt 1: Failed, judged 2026-03-04T15:07:07Z" for name in ("a", "b")
    ]
