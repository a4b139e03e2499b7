"""Phased runs: handed in whole, kept with their steps and causes, and what daemons and owners may do with them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from lando.api import bundles, runs
from lando.api import models as m
from lando.api.answers import Refusal
from lando.api.settings import Settings
from lando.archive import Archive
from lando.messages import Command
from sqlalchemy import update
from tests.unit.api.serving import Api, Serve
from tests.unit.api.test_ownership import routes

RUNS = "/api/lando/v1/runs"
ADMIN = "/api/lando/v1/admin/runs"
MODEL = """
jobernetes:
  - phase_name: prepare
    jobs: [{name: schema, job_path: k8s/schema.yaml}]
  - phase_name: load
    jobs:
      - {name: fetch, type: directory, job_path: k8s/fetch}
      - {name: merge, job_path: k8s/merge.yaml, depends_on: fetch}
"""
CONFIG = "jobernetes_config: {kubernetes_namespace: others, incluster: true}"
ATTEMPT = {"attempt": 1, "job": "schema-7", "uid": "u-1", "state": "Running", "began": "2026-03-04T10:11:12Z"}


def job(name: str, **spec: Any) -> str:
    container = {"name": "main", "image": "busybox", "command": ["true"]}
    pod = {"restartPolicy": "Never", "containers": [container], **spec}
    return repr(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": {"spec": pod}}}
    )


def bundle(**changes: Any) -> dict[str, Any]:
    files = {
        "jobermodel.yaml": MODEL,
        "k8s/schema.yaml": job("schema"),
        "k8s/fetch/a.yaml": job("fetch-a"),
        "k8s/fetch/b.yaml": job("fetch-b"),
        "k8s/merge.yaml": job("merge"),
    }
    return {"kind": "phases", "files": files, **changes}


def submit(api: Api, user: str = "operator", **changes: Any) -> dict[str, Any]:
    answer = api.call("POST", RUNS, bundle(**changes), user)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def write(api: Api, run: int, **changes: Any) -> dict[str, Any]:
    answer = api.call("PUT", f"{ADMIN}/{run}", changes, "lando")
    assert answer.status_code == 200, answer.text
    written: dict[str, Any] = answer.json()
    return written


def test_a_phased_run_is_told_to_the_daemon_and_its_steps_causes_and_attempts_to_its_owner(api: Api) -> None:
    made = submit(api, name="nightly")
    run = made["id"]
    assert (made["kind"], made["name"], made["state"], made["owner"]) == ("phases", "nightly", "Starting", "operator")
    assert [(step["phase"], step["entry"], step["name"], step["state"]) for step in made["steps"]] == [
        ("prepare", "schema", "schema", "Pending"),
        ("load", "fetch", "fetch-a", "Pending"),
        ("load", "fetch", "fetch-b", "Pending"),
        ("load", "merge", "merge", "Pending"),
    ]
    api.site.outbox.drain()
    (message,) = api.broker.messages
    assert (message.command, message.kind, message.run_id, message.generation) == (Command.START, "phases", run, 1)

    read = api.get(f"{ADMIN}/{run}", "lando")
    tag = read.headers["etag"]
    assert list(read.json()["steps"]) == ["schema", "fetch-a", "fetch-b", "merge"]
    assert api.get(f"{ADMIN}/{run}/document", "lando").json()["files"]["jobermodel.yaml"] == MODEL
    changes = {"state": "Running", "steps": {"schema": "Running"}}
    written = api.call("PUT", f"{ADMIN}/{run}", changes, "lando", headers={"If-Match": tag})
    assert written.status_code == 200
    assert written.headers["etag"] != tag
    late = api.call("PUT", f"{ADMIN}/{run}", {"state": "Error"}, "lando", headers={"If-Match": tag})
    assert late.status_code == 412
    unknown = api.call("PUT", f"{ADMIN}/{run}", {"steps": {"nobody": "Running"}}, "lando")
    assert unknown.json() == {"steps": [f"Run {run} has no step 'nobody'."]}

    attempt = {"step": "schema", **ATTEMPT}
    assert api.call("PUT", f"{RUNS}/{run}/attempts", {"attempts": [attempt]}, "lando").status_code == 200
    waits = {"step": "schema", "sentence": "No node has room.", "warnings": ["The image has no tag."]}
    assert api.call("PUT", f"{RUNS}/{run}/condition", waits, "lando").json()["condition"]["step"] == "schema"
    brief = api.get(RUNS, "operator").json()[0]
    assert brief["progress"] == {"Running": 1, "Pending": 3}
    assert [step["name"] for step in brief["steps"]] == ["schema"]

    write(api, run, steps={"schema": "Complete", "fetch-a": "Running"})
    assert api.get(f"{RUNS}/{run}", "operator").json()["condition"] is None, "what waited has ended"
    told = {"step": "fetch-a", "category": "user", "content": "It exited with 3.\n\nlast line", "generation": 1}
    for _ in range(2):
        assert api.post(f"{ADMIN}/{run}/errors", told, "lando").status_code == 201
    write(api, run, state="Error", steps={"fetch-a": "Failed"})
    ended = api.get(f"{RUNS}/{run}", "operator").json()
    assert (ended["cause"]["step"], ended["cause"]["sentence"]) == ("fetch-a", "It exited with 3.")
    assert (ended["cause"]["text"], len(ended["errors"])) == ("last line", 1)
    summary = {"step": None, "category": "user", "content": "2 steps failed, fetch-a first."}
    assert api.post(f"{ADMIN}/{run}/errors", summary, "lando").status_code == 201
    whole = api.get(f"{RUNS}/{run}", "operator").json()["cause"]
    assert (whole["step"], whole["sentence"]) == (None, "2 steps failed, fetch-a first.")
    steps = {step["name"]: step for step in ended["steps"]}
    assert (steps["fetch-a"]["state"], steps["fetch-a"]["sentence"]) == ("Failed", "It exited with 3.")
    assert (steps["schema"]["attempt"], steps["schema"]["state"]) == (1, "Complete")
    assert steps["schema"]["started"] <= steps["schema"]["ended"]
    assert [one["state"] for one in ended["attempts"]] == ["Complete"], "its end was never told, but its step's was"
    assert [event["state"] for event in ended["activities"]] == ["Starting", "Running", "Running", "Error", "Error"]
    assert api.get(f"{RUNS}/{run}/activities", "operator").json()[:-1] == ended["activities"]
    assert 'lando_api_jobs{state="Error"} 1.0' in api.client.get("/metrics").text
    assert api.call("PUT", f"{RUNS}/{run}/priority", {"priority": -1}, "operator").status_code == 400
    assert ended["ended"]
    assert ended["warnings"] == ["The image has no tag."]


def test_jobs_and_runs_share_one_row_of_ids(api: Api) -> None:
    ids = [
        submit(api, files={**bundle()["files"], "jobermodel.yaml": CONFIG + MODEL})["id"],
        api.new_job("operator"),
        submit(api)["id"],
        api.new_job("operator"),
    ]
    assert ids == sorted(set(ids))
    listed = api.get(RUNS, "operator").json()
    assert [run["id"] for run in listed] == ids
    told = "is left aside: the Jobs run where the server's lando runs them."
    assert listed[0]["warnings"] == [f"jobermodel.yaml: {key} {told}" for key in ("kubernetes_namespace", "incluster")]
    listed = api.get(f"{ADMIN}?state=Starting&after={ids[0]}", "lando").json()
    assert [(run["id"], run["kind"], run["held"]) for run in listed] == [(ids[2], "phases", False)]
    assert [run["id"] for run in api.get(f"{ADMIN}?id={ids[0]}&id={ids[1]}", "lando").json()] == [ids[0]]
    assert api.get(f"{RUNS}/?state=Running", "operator").json() == []


def test_what_may_be_done_with_a_run_follows_from_its_state(api: Api) -> None:
    run = submit(api)["id"]

    def ask(what: str, user: str = "operator") -> int:
        method, path = ("DELETE", "") if what == "delete" else ("POST", f"/{what}")
        return api.call(method, f"{RUNS}/{run}{path}", None, user).status_code

    assert [ask("delete"), ask("restart"), ask("cancel", "eve")] == [400, 400, 404]
    assert ask("cancel") == 200
    write(api, run, state="Canceled")
    assert [ask("cancel"), ask("restart")] == [400, 200]
    write(api, run, state="Running")
    write(api, run, state="Error", steps={"schema": "Failed"})
    assert [ask("restart"), ask("restart")] == [200, 400]
    write(api, run, state="Finished")
    assert [ask("cancel"), ask("delete"), ask("delete")] == [400, 204, 404]
    api.site.outbox.drain()
    sent = [(message.command.value, message.generation) for message in api.broker.messages]
    assert sent == [("start", 1), ("cancel", 2), ("restart", 3), ("restart", 4)]
    assert api.get(RUNS, "operator").json() == []
    assert api.get(f"{ADMIN}/{run}", "lando").json()["state"] == "Deleted"


def test_a_job_is_canceled_restarted_and_deleted_by_the_same_routes(api: Api) -> None:
    job_id = api.new_job()
    assert api.post(f"{RUNS}/{job_id}/cancel").json()["state"] == "Canceled"
    assert api.post(f"{RUNS}/{job_id}/restart").json()["state"] == "Restarting"
    api.write(job_id, "F/")
    assert api.call("DELETE", f"{RUNS}/{job_id}").status_code == 204
    assert api.get(f"{RUNS}/{job_id}").status_code == 404


def test_everything_that_is_wrong_with_a_bundle_is_told_at_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    files = bundle()["files"]
    del files["k8s/merge.yaml"]
    files["k8s/schema.yaml"] = "kind: Pod"
    answer = api.call("POST", RUNS, bundle(files=files), "operator")
    assert answer.status_code == 400
    assert answer.json()["detail"] == "The model can't be run: 2 things are wrong with it."
    places = {(finding["file"], finding["entry"]) for finding in answer.json()["findings"]}
    assert places == {("k8s/schema.yaml", "schema"), ("jobermodel.yaml", "merge")}

    secret = "{apiVersion: v1, kind: Secret, metadata: {name: login}, stringData: {password: x}}"
    with_secret = {
        **bundle()["files"],
        "jobermodel.yaml": "jobernetes_config: {resources: [secret.yaml]}" + MODEL,
        "secret.yaml": secret,
    }
    answer = api.call("POST", RUNS, bundle(files=with_secret), "operator")
    assert "would lie in the database in clear" in answer.json()["findings"][0]["reason"]

    for limit, words in (("MAX_BYTES", "bytes"), ("MAX_FILES", "files"), ("MAX_JOBS", "Jobs")):
        with monkeypatch.context() as patch:
            patch.setattr(bundles, limit, 3)
            answer = api.call("POST", RUNS, bundle(), "operator")
        assert (answer.status_code, words in answer.text) == (400, True), limit
    monkeypatch.setattr(bundles, "WAIT_S", 0.0)
    monkeypatch.setattr(bundles, "_places", threading.Semaphore(0))
    assert api.call("POST", RUNS, bundle(), "operator").status_code == 503
    assert api.get(RUNS, "operator").json() == [], "nothing was kept"


def test_of_pods_in_which_everything_is_wrong_the_beginning_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MAX_ERRORS", 5)
    files = {**bundle()["files"], "k8s/schema.yaml": job("schema", **{f"key{number}": 1 for number in range(100)})}

    with pytest.raises(Refusal) as refused:
        bundles.checked("jobermodel.yaml", files, restricted=True)

    assert len(refused.value.body["findings"]) == 6
    assert "more is wrong with its pods" in refused.value.body["findings"][-1]["reason"]


@pytest.mark.parametrize(
    ("phases", "staff", "user", "user_with_host"),
    [("staff", 201, 403, 403), ("users", 201, 201, 400), ("off", 403, 403, 403)],
)
def test_who_may_hand_in_phased_runs_is_the_sites_to_say(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, phases: str, staff: int, user: int, user_with_host: int
) -> None:
    api = serve(phases=phases)
    assert api.call("POST", RUNS, bundle(), "operator").status_code == staff
    assert api.call("POST", RUNS, bundle(), "ada").status_code == user
    files = {**bundle()["files"], "k8s/schema.yaml": job("schema", hostNetwork=True)}
    answer = api.call("POST", RUNS, bundle(files=files), "ada")
    assert answer.status_code == user_with_host
    assert ("hostNetwork: must be false here" in answer.text) == (user_with_host == 400)
    if phases == "users":
        monkeypatch.setattr(runs, "MOST_UNDER_WAY", 1)
        assert "You have 1 phased runs under way" in api.call("POST", RUNS, bundle(), "ada").text
        assert api.call("POST", RUNS, bundle(), "operator").status_code == staff


def test_a_restart_asks_for_what_handing_in_asks_for(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    api = serve(phases="users")
    of_user, of_staff = submit(api, "ada")["id"], submit(api)["id"]
    for run in (of_user, of_staff):
        write(api, run, state="Error")

    def restart(run: int, user: str) -> tuple[int, str]:
        answer = api.call("POST", f"{RUNS}/{run}/restart", None, user)
        return answer.status_code, answer.json().get("detail", "")

    with monkeypatch.context() as patch:
        patch.setattr(runs, "MOST_UNDER_WAY", 0)
        assert restart(of_user, "ada") == (400, "You have 0 phased runs under way; wait until one of them has ended.")
    with monkeypatch.context() as patch:
        patch.setattr(api.site, "settings", replace(api.site.settings, phases="staff"))
        assert restart(of_user, "ada")[0] == 403
    with api.site.database.write() as session:
        session.execute(update(m.User).where(m.User.username == "operator").values(is_staff=False))
    status, words = restart(of_staff, "operator")
    assert (status, "with the rights of staff" in words) == (403, True)
    assert restart(of_user, "ada")[0] == 200


def test_a_connection_whose_messages_are_pickles_takes_no_phased_runs(api: Api) -> None:
    changed = api.call("PATCH", "/api/lando/v1/admin/lando-connections/1", {"message_format": "pickle"}, "operator")
    assert changed.status_code == 200
    for changes in ({}, {"lando_connection": 1}):
        answer = api.call("POST", RUNS, bundle(**changes), "operator")
        assert (answer.status_code, "know" in answer.text) == (400, True)
    assert api.call("POST", RUNS, bundle(lando_connection=9), "operator").status_code == 400


def test_the_logs_of_steps_at_work_side_by_side_are_told_one_after_the_other(serve: Serve, settings: Settings) -> None:
    def live(run_id: int, step: str, follow: bool) -> Iterator[str] | None:
        assert run_id == run
        return said(step, follow)

    def said(step: str, follow: bool) -> Iterator[str]:
        yield f"{step} speaks"
        if follow and step == "fetch-a":
            write(api, run, steps={"fetch-a": "Complete"})
        elif follow:
            write(api, run, state="Finished", steps={"fetch-b": "Complete"})

    api = serve(live_logs=live)
    run = submit(api)["id"]
    Archive(str(settings.archive_url)).store(run, "schema", 1, "main", "made\n")
    write(api, run, state="Running", steps={"schema": "Complete", "fetch-a": "Running", "fetch-b": "Running"})

    def logs(query: str = "") -> str:
        return api.get(f"{RUNS}/{run}/logs{query}", "operator").text

    now = "==> schema <==\nmade\n==> fetch-a <==\nfetch-a speaks\n==> fetch-b <==\nfetch-b speaks\n"
    assert logs() == now
    assert logs("?step=schema&follow=true") == "made\n"
    assert api.get(f"{RUNS}/{run}/logs?step=nobody", "operator").json() == {
        "step": [f"Run {run} has no step 'nobody'."]
    }
    assert logs("?follow=true") == now
    assert api.get(f"{RUNS}/{run}", "operator").json()["state"] == "Finished"


def test_nobody_else_learns_of_a_run_by_any_route(serve: Serve) -> None:
    api = serve(phases="users")
    run = submit(api, "ada")["id"]
    asked = 0
    for method, path in routes(api):
        if path.startswith((RUNS + "/{}", ADMIN + "/{}")):
            asked += 1
            body = None if method in ("GET", "DELETE") else {"priority": 1, "attempts": [], "content": "x"}
            status = api.call(method, path.replace("{}", str(run), 1).replace("{}", "x"), body, "eve").status_code
            whose = "staff" if "/admin/" in path or path.endswith(("/condition", "/attempts")) else "owner"
            assert status == (403 if whose == "staff" else 404), (method, path)
    assert asked >= 15
    assert api.get(RUNS, "eve").json() == []
    assert api.get(f"{RUNS}/{run}", "ada").json()["owner"] == "ada"
    assert api.get(f"{ADMIN}/{run}/document", "lando").json()["restricted"] is True
