"""A request, the command that it gave and the message that went out can be followed through the logs."""

from __future__ import annotations

import pytest
from tests.services.log_lines import LogLines
from tests.unit.api.serving import Api


def test_a_command_is_followed_from_the_request_to_its_message(api: Api, log_lines: LogLines) -> None:
    job = api.new_job()
    answer = api.call("POST", f"/api/v2/jobs/{job}/start/", headers={"X-Request-ID": "from-the-client"})
    assert answer.headers["X-Request-ID"] == "from-the-client"
    api.broker.away = True
    api.site.outbox.drain()
    asked = next(line for line in log_lines() if "is to be sent" in line["message"])
    waits = next(line for line in log_lines() if "waits: " in line["message"])
    assert asked["request_id"] == "from-the-client"
    assert "request_id" not in waits
    for key in ("run_id", "command", "message_id"):
        assert asked[key] == waits[key]
    assert (asked["run_id"], asked["command"]) == (job, "start")


@pytest.mark.parametrize("given", ["", "two words", "a\\nb", "x" * 200])
def test_a_request_without_a_usable_name_gets_one(api: Api, given: str) -> None:
    answered = api.call("GET", "/api/v2/jobs/", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert len(answered) == 32
    assert answered != given
