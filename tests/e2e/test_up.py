"""``lando up``: one per home, its port, and runs that go on after the process has gone."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.services.providing import wait_until

SLEEP = Path(__file__).parents[2] / "examples" / "sleep"
EXAMPLE = SLEEP.parent / "definitions" / "kubernetes" / "job-definitions.yaml"


def end(process: subprocess.Popen[str], number: signal.Signals) -> int:
    process.send_signal(number)
    return process.wait(60)


def test_a_second_stack_in_one_home_is_refused(stack: Any) -> None:
    done = stack("up")
    assert done.returncode == 2
    assert "Another Lando (process " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_one_sentence(lando: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = lando("up", "--port", port)
    assert done.returncode == 2
    assert f"lando: Port {port} of 127.0.0.1 is in use by another program" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_unfinished_run_goes_on_at_the_next_start(lando: Any, tmp_path: Path, number: signal.Signals) -> None:
    order = tmp_path / "order.yaml"
    order.write_text("seconds: 8\n")  # more than the commands take until the end, also on a busy machine
    process = lando.up()
    run_id = lando.submit(SLEEP / "workflow.cwl", order)
    lando.until(run_id, lambda run: any(s["name"] == "run_workflow" and s["state"] == "Running" for s in run["steps"]))
    code = end(process, number)
    assert code == (0 if number == signal.SIGTERM else -signal.SIGKILL)

    process = lando.up()
    try:
        done = lando("status", run_id, "--watch")
        assert done.returncode == 0, done.stdout + done.stderr
        lost, again = (one for one in lando.json("status", run_id)["attempts"] if one["step"] == "run_workflow")
        assert ("in good order" if number == signal.SIGTERM else "without warning") in lost["sentence"]
        assert (again["attempt"], again["state"]) == (2, "Complete")
    finally:
        assert end(process, signal.SIGINT) == 0


def test_the_api_server_alone_serves_until_it_is_told_to_stop(lando: Any) -> None:
    process = lando.start("serve", "--port", "0")
    line = next(line for line in process.stdout if line.startswith("The API server is up at http://127.0.0.1:"))
    token = json.loads(lando("admin", "setup", "ada", "--broker", "amqp://mq.example.org").stdout)["user_token"]
    url = line.split()[-1].rstrip(".")
    assert lando("jobs", "--url", url, "--token", token).stdout == "no runs\n"
    assert end(process, signal.SIGTERM) == 0


def test_the_cluster_alone_serves_until_it_is_told_to_stop(lando: Any) -> None:
    process = lando.start("cluster", "up")
    line = process.stdout.readline()
    assert line.startswith("The cluster is up at https://127.0.0.1:"), line
    kubeconfig = Path(line.split("KUBECONFIG=")[1].strip())
    assert kubeconfig.is_file()
    assert stat.S_IMODE(kubeconfig.stat().st_mode) == 0o600
    assert end(process, signal.SIGTERM) == 0


def test_a_job_of_a_definition_is_made_followed_and_read_when_it_is_gone(stack: Any) -> None:
    (stack.home / "definitions.yaml").write_text(EXAMPLE.read_text())
    assert "template" in stack.json("definitions")
    done = stack("run", "template", "name=ada", "--follow")
    assert (done.returncode, done.stdout) == (0, "Hello ada\n"), done.stderr
    name = done.stderr.split()[0]
    failed = stack("run", "fail", "--wait")
    assert failed.returncode == 2
    assert "Failed: The program of container fail ended with exit code 3." in failed.stderr

    assert stack("definitions", "delete", name).returncode == 0
    wait_until(lambda: name not in {one["job_name"] for one in stack.json("definitions", "jobs")})
    gone = stack.json("definitions", "show", name)
    assert (gone["state"], bool(gone["kept"])) == ("Complete", True)
    assert stack("definitions", "logs", name).stdout == "Hello ada\n"
    assert stack("definitions", "logs", name, "--follow").stdout == "Hello ada\n"
