"""The daemon beside an API server, a watcher and a lando of the version before or after its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from lando.errors import NotFound
from lando.k8s import record
from lando.messages import Command
from lando.runs import Category
from lando.sources.attempts import AttemptTeller
from lando.sources.http import Answer


def with_more(value: Any) -> Any:
    """``value`` as a newer version tells it: each object has one more key."""
    if isinstance(value, Mapping):
        return {key: with_more(one) for key, one in value.items()} | {"since_next_version": {"a": [1]}}
    return [with_more(one) for one in value] if isinstance(value, list) else value


class OlderRoutes:
    """Our own API before it had the routes that this daemon tells."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def request(self, method: str, path: str, body: Any = None, **_: Any) -> Answer:
        self.asked.append(f"{method} {path}")
        raise NotFound("Lando API", "Not Found", status=404)

    def close(self) -> None:
        """Nothing to close."""


def test_an_api_that_tells_more_than_is_known_is_understood(world: Any, monkeypatch: Any) -> None:
    ask = world.admin.request

    def tell_more(method: str, path: str, *arguments: Any, **options: Any) -> Answer:
        answer: Answer = ask(method, path, *arguments, **options)
        document = with_more(answer.document)
        if path.startswith("jobs/") and isinstance(document, dict):
            document["generation"] = 1
        return Answer(document=document, etag='"7"')

    monkeypatch.setattr(world.admin, "request", tell_more)
    world.start()
    world.send(Command.START, generation=1)
    world.run_to_the_end()
    world.reach("F/")
    assert world.job["output_project"]["project_id"] == "p-1"


def test_an_api_of_ours_that_lacks_the_newest_routes_costs_a_run_nothing(world: Any) -> None:
    world.start()
    older = OlderRoutes()
    world.source._lando, world.source._attempts = older, AttemptTeller(older)  # type: ignore[arg-type]
    world.send(Command.START)
    world.run_to_the_end()
    world.reach("F/")
    world.settle()
    assert "PUT runs/42/attempts" in older.asked
    assert world.admin.errors == []


def test_a_message_of_a_newer_watcher_is_a_reason_to_look(world: Any) -> None:
    world.start()
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    world.cluster.finish("stage-data-42-ada")
    evidence = with_more({"step": "stage_data", "condition": "Refined", "category": "weather"})
    body = with_more({"v": 1, "command": "step_changed", "job_id": 42, "evidence": evidence})
    world.broker.publisher().publish("lando", json.dumps(body).encode()).result(5)
    world.reach("R/R")
    assert world.broker.depth("lando.dead") == 0


def test_a_run_that_a_newer_lando_began_is_taken_over(world: Any, waiting: Callable[..., Any]) -> None:
    world.start()
    world.send(Command.START)
    world.reach("R/S")
    waiting(lambda: world.cluster.has_job("stage-data-42-ada"))
    world.settle()
    world.stop()
    record = world.cluster.objects["ConfigMap", "lando-run-42"]["data"]
    for key in list(record):
        if key.startswith("step."):
            record[key] = json.dumps(with_more(json.loads(record[key])))
    record["since-next-version"] = "?"
    world.start()
    world.complete("S", "stage_data")
    world.reach("R/R")
    world.settle()
    made = [call for call in world.cluster.calls if call[:2] == ("create", "Job")]
    assert [name for _, _, name in made] == ["stage-data-42-ada", "run-workflow-42-ada"], "nothing is done twice"


def test_a_failure_of_a_category_that_a_newer_lando_knows_is_told_all_the_same() -> None:
    noted = {"step": "run_workflow", "category": "weather", "sentence": "It rained in."}
    found = record.read({"metadata": {"name": "lando-run-42", "uid": "u"}, "data": {"failure": json.dumps(noted)}})
    assert found.failure is not None
    assert (found.failure.cause.sentence, found.failure.cause.category) == ("It rained in.", Category.INFRASTRUCTURE)
