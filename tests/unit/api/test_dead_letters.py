"""``/api/lando/v1/dead-letters``: what staff may see and do about messages that were put aside."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from lando.api.models import LandoConnection
from lando.messages import Command, Message, codec
from lando.queues import ladder, memory
from lando.queues.memory import MemoryBroker
from sqlalchemy import update
from tests.services.vectors import BAD, GOOD
from tests.unit.api.serving import Api

ROUTE = "/api/lando/v1/dead-letters"


@pytest.fixture
def broker(api: Api) -> MemoryBroker:
    """The broker of the site's only lando connection."""
    name = uuid.uuid4().hex
    with api.site.database.write() as session:
        session.execute(update(LandoConnection).values(url=f"memory://{name}", queue_name="lando"))
    return memory.broker(name)


PutAside = Callable[..., None]


@pytest.fixture
def put_aside(broker: MemoryBroker) -> PutAside:
    """Has bodies put aside in the queue that the daemons consume."""

    def act(*bodies: bytes, reason: str = "The API did not know what to say.") -> None:
        for body in bodies:
            broker.publish("lando", body, content_type=None, message_id=None)
            with broker.changed:
                taken = broker.take("lando")
            assert taken is not None
            broker.settle("lando", taken[0], rung=ladder.dead("lando", None, reason))

    return act


def listed(api: Api, query: str = "") -> list[dict[str, object]]:
    [queue] = api.get(f"{ROUTE}{query}", user="operator").json()["queues"]
    assert (queue["queue"], queue["trouble"]) == ("lando", None)
    letters: list[dict[str, object]] = queue["letters"]
    return letters


def test_dead_letters_are_listed_with_run_and_command(api: Api, put_aside: PutAside) -> None:
    put_aside(GOOD["V1"], codec.encode(Message(command=Command.CANCEL, run_id=7), "json"), BAD["N5"])
    found = [(one["run"], one["command"], one["size"]) for one in listed(api)]
    assert [pair[:2] for pair in found] == [(42, "start"), (7, "cancel"), (None, None)]
    assert [one["run"] for one in listed(api, "?run=7")] == [7]
    assert listed(api, "?reason=KNOW%20what") == listed(api)
    assert listed(api, "?reason=unheard") == []
    assert len(listed(api, "?limit=1")) == 1


def test_only_staff_sees_and_settles_them(api: Api, put_aside: PutAside) -> None:
    put_aside(GOOD["V1"])
    [one] = listed(api)
    assert api.get(ROUTE).status_code == 403
    assert api.get(f"{ROUTE}/{one['id']}").status_code == 403
    for what in ("retry", "drop"):
        assert api.post(f"{ROUTE}/{what}", {"ids": [one["id"]]}).status_code == 403
    assert len(listed(api)) == 1


def test_a_letter_is_shown_whole_and_never_unpickled(api: Api, put_aside: PutAside) -> None:
    put_aside(GOOD["V7"], BAD["N5"])
    readable, hostile = (api.get(f"{ROUTE}/{one['id']}", user="operator").json() for one in listed(api))
    assert readable["form"] == "pickle"
    assert readable["message"]["command"] == "step_changed"
    assert readable["message"]["evidence"]["condition"] == "Failed"
    assert (hostile["form"], hostile["message"]) == (None, None)
    assert hostile["body_base64"]
    assert hostile["queue"] == "lando"
    assert api.get(f"{ROUTE}/{'0' * 12}", user="operator").status_code == 404


@pytest.mark.parametrize(
    "extra",
    [b'"x":' + b'{"a":' * 900 + b"1" + b"}" * 900, b'"x":"\\ud800\\u001b[2J"', b'"x":' + b"9" * 4000],
    ids=["deep", "odd text", "long number"],
)
def test_odd_messages_can_be_shown_too(api: Api, put_aside: PutAside, extra: bytes) -> None:
    put_aside(b'{"v":1,"command":"start","job_id":5,' + extra + b"}")
    [one] = listed(api)
    answer = api.get(f"{ROUTE}/{one['id']}", user="operator")
    assert answer.status_code == 200
    assert answer.json()["run"] in (5, None)


def test_letters_are_tried_again_or_dropped_by_their_ids(api: Api, put_aside: PutAside, broker: MemoryBroker) -> None:
    put_aside(GOOD["V1"], GOOD["V3"], GOOD["V4"])
    first, second, third = (str(one["id"]) for one in listed(api))
    assert api.post(f"{ROUTE}/retry", {"ids": [second, "f" * 12]}, "operator").json() == {
        "done": [second],
        "missing": ["f" * 12],
    }
    assert api.post(f"{ROUTE}/drop", {"ids": [third]}, "operator").json() == {"done": [third], "missing": []}
    assert [one["id"] for one in listed(api)] == [first]
    assert broker.depth("lando") == 1


@pytest.mark.parametrize("ids", [[], ["../x"], None, "abc"])
def test_what_is_no_list_of_ids_is_refused(api: Api, broker: MemoryBroker, ids: object) -> None:
    assert api.post(f"{ROUTE}/retry", {"ids": ids}, "operator").status_code == 400


def test_a_broker_that_is_away_hides_no_other_queue(
    api: Api, put_aside: PutAside, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_aside(GOOD["V1"])
    with api.site.database.write() as session:
        session.add(LandoConnection(queue_name="far", host="127.0.0.1:1", username="u", password="Tr0ub4dor"))
    near, far = api.get(ROUTE, user="operator").json()["queues"]
    assert len(near["letters"]) == 1
    assert (far["queue"], far["count"], far["letters"]) == ("far", None, [])
    assert "127.0.0.1:1" in far["trouble"]
    assert "Tr0ub4dor" not in str(far)
    identity = near["letters"][0]["id"]
    assert api.get(f"{ROUTE}/{identity}", user="operator").status_code == 200
    missing = api.get(f"{ROUTE}/{'0' * 12}", user="operator")
    assert missing.status_code == 503
    assert "127.0.0.1:1" in missing.json()["detail"]
    assert api.post(f"{ROUTE}/retry", {"ids": [identity]}, "operator").json()["done"] == [identity]


def test_two_connections_to_one_queue_show_it_once(api: Api, put_aside: PutAside) -> None:
    put_aside(GOOD["V1"])
    with api.site.database.write() as session:
        known = session.query(LandoConnection).one()
        session.add(LandoConnection(queue_name=known.queue_name, url=known.url, message_format="pickle"))
    assert len(listed(api)) == 1
