"""What ``/readyz`` and ``/metrics`` tell of the definitions that a server has."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from lando.definitions.served.standing import Standing
from tests.unit.api.conftest import Api

WELL = Standing(
    definitions=3,
    problems=0,
    is_watched=True,
    to_keep=1,
    is_archive_away=False,
)
JOBS = {("thumbs", "Running"): 2, ("thumbs", "Failed"): 1}
ILL = Standing(definitions=0, problems=2, is_watched=False, to_keep=7, is_archive_away=True)


def test_a_server_without_definitions_tells_nothing_of_them(api: Api) -> None:
    assert "definition" not in api.client.get("/metrics").text
    assert "definitions" not in api.client.get("/readyz").json()


def test_metrics_tell_how_definitions_and_their_jobs_stand(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.site, "definitions", SimpleNamespace(standing=lambda: WELL, job_counts=lambda: JOBS))
    text = api.client.get("/metrics").text
    for line in (
        "lando_api_definitions 3.0",
        "lando_api_definition_problems 0.0",
        "lando_api_definition_jobs_watched 1.0",
        'lando_api_definition_jobs{definition="thumbs",state="Running"} 2.0',
        'lando_api_definition_jobs{definition="thumbs",state="Failed"} 1.0',
        "lando_api_definition_jobs_to_keep 1.0",
    ):
        assert f"\n{line}\n" in text
    assert "definitions" not in api.client.get("/readyz").json()


def test_definitions_that_are_in_trouble_are_told_of_and_leave_the_server_in_service(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.site, "definitions", SimpleNamespace(standing=lambda: ILL, job_counts=dict))
    answer = api.client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert answer.json()["definitions"] == (
        "the cluster's Jobs can't be followed now, so that it is asked for each list; "
        "the archive is away, and 7 Jobs wait to be kept; 2 problems with definitions, which their healthcheck names"
    )
    assert "\nlando_api_definition_jobs_watched 0.0\n" in api.client.get("/metrics").text
