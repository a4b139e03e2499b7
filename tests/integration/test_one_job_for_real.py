"""One job on a site of separate processes: broker, API server, cluster, lando and watcher, over the network only."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
import requests
from tests.services.providing import wait_until
from tests.services.rabbitmq import LocalServer, RabbitMQ

if TYPE_CHECKING:
    from tests.services.published import Published
    from tests.services.stack import Stack
    from tests.services.user import User

pytestmark = [pytest.mark.service("rabbitmq"), pytest.mark.timeout(240)]


def saved_results(job: dict[str, Any]) -> Path:
    """The folder of the job's saved output."""
    url = job["output_project"]["project_id"]
    assert url.startswith("file:///")
    return Path(unquote(urlsplit(url).path)) / "results"


def assert_complete(results: Path) -> None:
    """Everything that the workflow and the report consist of, and sound."""
    names = {str(path.relative_to(results)) for path in results.rglob("*") if path.is_file()}
    assert {"docs/README.md", "docs/README.html", "docs/logs/job-data.json", "docs/scripts/job-order.json"} <= names
    outputs = {name for name in names if not name.startswith("docs/")}
    assert any(name.endswith(".svg") for name in outputs)
    assert any(name.endswith((".tsv", ".json")) for name in outputs)
    data = json.loads((results / "docs/logs/job-data.json").read_text())
    assert data["num_output_files"] == len(outputs)
    assert data["started"]


def objects_left(stack: Stack) -> list[str]:
    """Names of what is still in the namespace with a run's label or as a run's record."""
    token = Path(stack.cluster["token_file"]).read_text().strip()
    left = []
    for path in ("api/v1/{}/configmaps", "api/v1/{}/persistentvolumeclaims", "api/v1/{}/pods", "apis/batch/v1/{}/jobs"):
        answer = requests.get(
            f"{stack.cluster['url']}/{path.format('namespaces/' + stack.cluster['namespace'])}",
            headers={"Authorization": f"Bearer {token}"},
            verify=stack.cluster["ca_file"],
            timeout=10,
        )
        left += [item["metadata"]["name"] for item in answer.json()["items"]]
    return [name for name in left if name != "kube-root-ca.crt"]


def test_a_workflow_goes_from_requests_to_saved_results(user: User, stack: Stack) -> None:
    job = user.create_job("fastq-qc")
    assert user.job(job)["state"] == "A"

    user.act(job, "start")
    ended = user.wait_for_end(job)

    assert (ended["state"], ended["step"]) == ("F", "")
    assert ended["job_errors"] == []
    assert_complete(saved_results(ended))
    activities = user.call("GET", f"/api/job-activities/?job={job}")
    assert [(one["state"], one["step"]) for one in activities if one["state"] == "R"] == [
        ("R", step) for step in ("", "V", "S", "R", "o", "O", "P")
    ]
    logs = stack.request("GET", f"/api/lando/v1/runs/{job}/logs", params={"step": "run_workflow"})
    assert logs.ok
    assert "of" in logs.text


def test_progress_notices_tell_listeners_of_every_write(user: User, rabbitmq: RabbitMQ) -> None:
    with rabbitmq.connect() as connection:
        channel = connection.channel()
        channel.exchange_declare("job_status", exchange_type="fanout", durable=False)
        mine = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(mine, "job_status")
        job = user.create_job("fastq-qc")
        user.act(job, "start")
        user.wait_for_end(job)

        seen = []
        for _, _, body in channel.consume(mine, auto_ack=True, inactivity_timeout=10):
            assert body is not None, f"no more notices after {seen}"
            notice = json.loads(body)
            if notice["job"] == job:
                seen.append(f"{notice['state']}/{notice['step']}")
            if notice["state"] == "F":
                break
    assert seen == ["R/", "R/V", "R/S", "R/R", "R/o", "R/O", "R/P", "F/"]


@pytest.mark.service("lando-messaging")
def test_the_published_client_starts_a_job(user: User, stack: Stack, published: Published) -> None:
    job = user.create_job("fastq-qc")
    published.send(stack.queue, ["start_job", job], ["start_job", str(job)])
    ended = user.wait_for_end(job)

    assert ended["state"] == "F"
    assert_complete(saved_results(ended))


def test_lando_killed_once_in_each_step_loses_nothing(user: User, stack: Stack) -> None:
    job = user.create_job("fastq-qc")
    user.act(job, "start")

    for step in "SRoO":
        user.wait(job, lambda document, step=step: document["step"] == step)
        stack.kill("lando")
        assert user.job(job)["state"] == "R"
        stack.start_process("lando")
    ended = user.wait_for_end(job)

    assert (ended["state"], ended["job_errors"]) == ("F", [])
    assert_complete(saved_results(ended))
    run = user.run(job)
    assert {step["attempt"] for step in run["steps"] if step["attempt"]} <= {1}, "no step was done twice"
    wait_until(lambda: not objects_left(stack), 30, what="the removal of the finished job's objects")


def test_watcher_and_server_killed_in_the_middle_lose_nothing(user: User, stack: Stack) -> None:
    job = user.create_job("fastq-qc")
    user.act(job, "start")

    user.wait(job, lambda document: document["step"] == "R")
    stack.kill("watcher")
    stack.kill("server")
    stack.start_process("server")
    stack.start_process("watcher")
    stack.wait_for(f"{stack.url}/readyz")
    ended = user.wait_for_end(job)

    assert (ended["state"], ended["job_errors"]) == ("F", [])
    assert_complete(saved_results(ended))


def test_a_broker_that_goes_away_and_comes_back_loses_nothing(
    user: User, stack: Stack, rabbitmq_server: LocalServer
) -> None:
    job = user.create_job("fastq-qc")
    user.act(job, "start")

    user.wait(job, lambda document: document["step"] == "R")
    rabbitmq_server.stop(signal.SIGKILL)
    rabbitmq_server.start()
    ended = user.wait_for_end(job)

    assert (ended["state"], ended["job_errors"]) == ("F", [])
    assert stack.is_running("lando")
    assert stack.is_running("watcher")


def test_a_tool_that_exits_3_is_named_with_its_last_words(user: User) -> None:
    job = user.create_job("failing")
    user.act(job, "start")

    ended = user.wait(job, lambda document: bool(document["job_errors"]))  # told right after the state

    assert (ended["state"], ended["step"]) == ("E", "R")
    [error] = ended["job_errors"]
    assert error["job_step"] == "R"
    first, _, rest = error["content"].partition("\n")
    assert "3" in first
    assert rest.strip(), "the log's tail belongs to a cause"


def test_a_job_is_canceled_in_the_middle_and_runs_again_when_restarted(user: User, stack: Stack) -> None:
    job = user.create_job("sleep")
    user.act(job, "start")
    user.wait(job, lambda document: document["step"] == "R")

    user.act(job, "cancel")
    ended = user.wait(job, lambda document: document["state"] == "C")
    assert ended["step"] == ""
    assert objects_left(stack) == []

    user.act(job, "restart")
    user.wait(job, lambda document: document["step"] == "R")
    user.act(job, "cancel")
    user.wait(job, lambda document: document["state"] == "C")


def test_sigterm_ends_each_process_in_order(user: User, stack: Stack) -> None:
    job = user.create_job("sleep")
    user.act(job, "start")
    user.wait(job, lambda document: document["step"] == "R")

    for name in ("lando", "watcher", "server"):
        stack.kill(name, signal.SIGTERM)
        assert "Traceback" not in stack.log(name)
