"""The watcher as a process: threads that start and end, errors that are survived, settings that are refused."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from lando import logs
from lando.errors import Unavailable
from lando.k8s import watcher as watcher_module
from lando.k8s.cluster import Page
from lando.k8s.reflector import ChangeType
from lando.k8s.watcher import main
from tests.services.health import Asks
from tests.services.log_lines import LogLines

USAGE = "usage: python -m lando.k8s.watcher CONFIG"


class Hanging:
    """A watch that brings nothing until it is closed."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def __iter__(self) -> Hanging:
        return self

    def __next__(self) -> Any:
        assert self._closed.wait(30)
        raise StopIteration

    def close(self) -> None:
        self._closed.set()


def follow(scene: Any, jobs: list[Any], pods: list[Any]) -> None:
    """Give the stub cluster lists of these and watches that stay silent."""

    def list_page(kind: str, selector: str = "", **more: Any) -> Page:
        ours = {"Job": jobs, "Pod": pods}.get(kind, []) if "bespin" in selector else []
        return Page(items=ours, resource_version="5", continue_token=None)

    scene.cluster.list_page = list_page
    scene.cluster.watch = lambda *args, **more: Hanging()


def running(scene: Any) -> tuple[threading.Thread, threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=scene.watcher.run, args=(stop,), daemon=True)
    thread.start()
    return thread, stop


def wait_until(condition: Any) -> None:
    ticker = threading.Event()
    for _ in range(1000):
        if condition():
            return
        ticker.wait(0.01)
    raise AssertionError("it did not come to that")


def test_what_is_there_at_the_start_is_told_and_stopping_is_prompt(scene: Any, job: Any, pod: Any) -> None:
    state = {"terminated": {"exitCode": 0}}
    follow(scene, [job("Complete")], [pod("Succeeded", state)])
    thread, stop = running(scene)

    wait_until(lambda: scene.publisher.published)
    assert scene.watcher.wrong() is None
    assert scene.watcher.age_s() < 60
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert len(scene.publisher.published) == 1


def test_what_is_logged_about_a_job_says_its_run_and_step(scene: Any, job: Any, pod: Any, log_lines: LogLines) -> None:
    follow(scene, [job("Complete")], [pod("Succeeded", {"terminated": {"exitCode": 0}})])
    scene.publisher.errors = [Unavailable("broker", "away")]
    thread, stop = running(scene)
    wait_until(lambda: any("will tell of Job" in line["message"] for line in log_lines()))
    stop.set()
    thread.join(10)
    said = next(line for line in log_lines() if "will tell of Job" in line["message"])
    assert (said["run_id"], said["step"], said["job_uid"]) == (42, "run_workflow", "job-uid")


def test_a_silent_stream_is_red_and_a_cluster_that_is_away_is_waited_for_unless_it_lasts(
    scene: Any, asks: Asks, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = asks(scene.watcher)
    assert ask("/readyz") == (503, "Jobs: the first list has not come yet.")
    for reflector in scene.watcher._reflectors:
        reflector.synced.set()
    assert ask("/readyz") == ask("/healthz") == (200, "ok")
    scene.publisher.blocked = told = "The broker blocks publishing since 2026-03-04T12:00:00Z (low on memory)."
    assert (ask("/readyz"), ask("/healthz")) == ((503, told), (200, f"waiting: {told}"))
    scene.publisher.blocked = None
    jobs = scene.watcher._reflectors[0]
    monkeypatch.setattr(jobs, "age_s", lambda: 500.0)
    assert ask("/healthz") == (503, "Jobs: not heard of for 500 s (no error, just silence)")
    jobs.last_error = Unavailable("cluster", "connection refused")
    told = "Jobs can't be watched: cluster: connection refused"
    assert ask("/healthz") == (200, f"waiting: {told}")
    assert ask("/readyz") == (503, told)
    assert scene.watcher.age_s() == 500
    monkeypatch.setattr(jobs, "age_s", lambda: 2000.0)
    assert ask("/healthz") == (503, "Jobs: not heard of for 2000 s (cluster: connection refused)")


def test_a_thread_of_the_watcher_that_ended_or_hangs_is_red(
    scene: Any, job: Any, asks: Asks, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = asks(scene.watcher)
    go_on = threading.Event()
    monkeypatch.setattr(scene.watcher, "look", lambda uid: go_on.wait(10))
    follow(scene, [job()], [])
    thread, stop = running(scene)
    monkeypatch.setattr(watcher_module, "STUCK_S", 0.0)
    wait_until(lambda: ask("/healthz")[0] == 503)
    assert ask("/healthz")[1].startswith("A worker has been at one Job for ")
    go_on.set()
    wait_until(lambda: ask("/healthz") == (200, "ok"))
    scene.publisher.trouble = "The thread that publishes has ended."
    assert ask("/healthz") == (503, scene.publisher.trouble)
    scene.publisher.trouble = None
    scene.watcher._reflectors[0].stop()
    wait_until(lambda: ask("/healthz") == (503, "The thread 'watch Job bespin-job=true' has ended."))
    stop.set()
    thread.join(10)


def test_an_outcome_is_told_in_the_end_however_often_the_broker_is_away(
    scene: Any, job: Any, pod: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watcher_module, "RETRY_S", (0.001, 0.002))
    scene.publisher.errors = [Unavailable("broker", "away")] * (watcher_module.UNFORESEEN_TRIES * 3)
    follow(scene, [job("Complete")], [pod("Succeeded", {"terminated": {"exitCode": 0}})])
    thread, stop = running(scene)

    wait_until(lambda: scene.publisher.published)
    stop.set()
    thread.join(10)
    assert caplog.text.count("later: broker: away") == 1


def test_an_error_nobody_foresaw_is_tried_a_few_times_and_then_left_until_the_job_changes(
    scene: Any, job: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watcher_module, "RETRY_S", (0.001, 0.002))
    looks: list[str] = []

    def broken(uid: str) -> None:
        looks.append(uid)
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(scene.watcher, "look", broken)
    follow(scene, [job()], [])
    thread, stop = running(scene)

    wait_until(lambda: "gave up on Job job-uid" in caplog.text)
    assert len(looks) == watcher_module.UNFORESEEN_TRIES
    stop.set()
    thread.join(10)


def test_many_pods_of_one_job_are_kept_only_to_a_bound(scene: Any, job: Any, pod: Any) -> None:
    scene.sees(job())
    for n in range(100):
        scene.sees(pod(name=f"p{n:03}"), ChangeType.DELETED)

    names = [item["metadata"]["name"] for item in scene.watcher.sightings.of("job-uid").gone_pods]
    assert sorted(names) == [f"p{n:03}" for n in range(80, 100)]


def test_pods_whose_job_never_comes_are_not_kept_for_ever(scene: Any, pod: Any) -> None:
    scene.sees(pod())
    assert len(scene.watcher.sightings) == 1
    scene.sees(pod(), ChangeType.DELETED)
    assert len(scene.watcher.sightings) == 0


def test_only_with_our_own_api_are_runs_beyond_cwl_watched(scenes: Any) -> None:
    def selectors(scene: Any) -> list[str]:
        return sorted({reflector.label_selector for reflector in scene.watcher._reflectors})

    assert selectors(scenes()) == ["bespin-job=true", "lando-run-id"]
    assert selectors(scenes(own_runs=False)) == ["bespin-job=true"]


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["--help"]])
def test_without_exactly_one_file_it_prints_its_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert USAGE in capsys.readouterr().err


def test_a_mistake_in_the_file_is_one_sentence_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "configure", lambda **options: None)
    path = tmp_path / "k8s.config"
    path.write_text("work_queue: {}\n")

    assert main([str(path)]) == 2
    said = capsys.readouterr().err
    assert "listen_queue" in said
    assert "Traceback" not in said
