"""Taking, keeping and leaving the Lease of a run, against the embedded cluster's store."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from lando.direct import lease as lease_module
from lando.direct import lease_record as records
from lando.direct.holder import Holder
from lando.direct.lease import HOLD_S, Lease
from lando.direct.lease_record import Completion
from lando.errors import NotFound, Refused, Unavailable
from tests.services.store_cluster import StoreCluster

JOBS = ("fetch", "merge")
DONE = Completion(uid="u-1", digest="a" * 64, duration_s=2.5)


class World:
    """One cluster, one time for all, and what happens while somebody waits."""

    def __init__(self, cluster: StoreCluster) -> None:
        self.cluster = cluster
        self.time = 1000.0
        self.told: list[str] = []
        self.gone: set[str] = set()
        self.meanwhile: Callable[[], object] = lambda: None
        self.is_stopped = False

    def wait(self, timeout: float) -> bool:
        """As a stop that somebody waits for."""
        self.time += timeout
        self.meanwhile()
        return self.is_stopped

    def lease(self, *jobs: str, who: str = "ada@here", cluster: Any = None, skew_s: float = 0.0) -> Lease:
        return Lease(
            cluster or self.cluster,
            jobs or JOBS,
            tell=self.told.append,
            holder=Holder(who=who, pid=7, started=1, boot="b", numbers="1", nonce=f"{who}-{self.time}"),
            seconds=lambda: self.time,
            now=lambda: datetime(2026, 1, 2, tzinfo=UTC) + timedelta(seconds=self.time + skew_s),
            is_gone=lambda holder: holder.who in self.gone,
        )

    def held(self, *jobs: str, **options: Any) -> Lease:
        lease = self.lease(*jobs, **options)
        assert lease.acquire(self)
        assert lease.held
        return lease

    def record(self, lease: Lease) -> records.Record:
        return records.read(self.cluster.get("Lease", lease.name))


@pytest.fixture
def world() -> Iterator[World]:
    cluster = StoreCluster()
    yield World(cluster)
    cluster.close()


class Faulty:
    """The cluster for one of them, with an error before or after some calls."""

    def __init__(self, cluster: StoreCluster, faults: dict[str, list[Any]]) -> None:
        self._cluster, self._faults = cluster, faults
        self.namespace = cluster.namespace

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._cluster, name)

        def faulty(*args: Any, **options: Any) -> Any:
            fault = self._faults.get(name, [None]).pop(0) if self._faults.get(name) else None
            if isinstance(fault, Exception):
                raise fault
            answer = call(*args, **options)
            if fault == "lost":
                raise Unavailable("cluster", "the answer was lost")
            return answer

        return faulty


def test_a_lease_names_its_holder_and_its_jobs(world: World) -> None:
    lease = world.held()

    made = world.cluster.get("Lease", lease.name)
    assert made["metadata"]["labels"] == {"lando-phases": "true"}
    assert made["spec"]["holderIdentity"].startswith("ada@here/7/")
    assert made["spec"]["leaseDurationSeconds"] == 15
    record = records.read(made)
    assert record.admitted
    assert record.jobs == records.digests(JOBS)
    assert lease.owner == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "name": lease.name,
        "uid": made["metadata"]["uid"],
    }


def test_the_order_of_the_jobs_makes_no_other_lease() -> None:
    assert records.lease_name(["b", "a"]) == records.lease_name(["a", "b"]) != records.lease_name(["a", "c"])
    assert len(records.lease_name(JOBS)) == len("jobernetes-") + 10


def test_a_second_run_is_refused_as_soon_as_the_first_gives_a_sign_of_life(world: World) -> None:
    first = world.held()
    began = world.time
    world.meanwhile = lambda: world.time - began < 5 or first.renew()

    with pytest.raises(Refused, match=r"ada@here, process 7 has been running these Jobs since 2026-01-02 00:16:40 UTC"):
        world.lease(who="bob@there").acquire(world)

    assert first.held
    assert world.time - began < 7
    (told,) = world.told
    assert "waiting for 15 s at most" in told


def test_what_was_not_renewed_for_its_duration_as_we_saw_it_is_taken_over(world: World) -> None:
    first = world.held(skew_s=86400)  # its clock says tomorrow, which says nothing
    uid = world.record(first).uid
    world.time += 5.0  # before anybody looks
    began = world.time

    second = world.held(who="bob@there")

    assert 15 <= world.time - began <= 17
    assert world.record(second).uid == uid  # what it owns stays
    assert world.record(second).transitions == 1
    assert not first.renew()
    assert first.lost is not None
    assert "bob@there, process 7 has taken over" in first.lost
    assert not first.held


def test_a_run_that_was_released_or_whose_process_is_gone_is_taken_over_at_once(world: World) -> None:
    began = world.time
    world.held().release()
    world.held(who="bob@here")
    world.gone.add("bob@here")
    world.held(who="eve@here")

    assert world.time == began
    assert world.told == []


def test_a_stop_while_waiting_leaves_the_other_alone(world: World) -> None:
    first = world.held()
    world.is_stopped = True

    second = world.lease(who="bob@there")

    assert not second.acquire(world)
    assert not second.held
    assert first.renew()


def test_a_renewal_that_fails_lets_nothing_be_created_until_one_succeeds(world: World) -> None:
    faults: dict[str, list[Any]] = {}
    lease = world.held(cluster=Faulty(world.cluster, faults))
    faults["patch"] = [Unavailable("cluster", "away")]
    world.time += HOLD_S - 1
    assert not lease.renew()
    assert lease.held
    world.time += 1
    assert not lease.held
    assert lease.lost is None

    assert lease.renew()
    assert lease.held


def test_it_counts_from_when_a_renewal_began_not_from_when_it_was_answered(world: World) -> None:
    class Slow(Faulty):
        def patch(self, *args: Any) -> Any:
            answer = world.cluster.patch(*args)
            world.time += HOLD_S
            return answer

    lease = world.lease(cluster=Slow(world.cluster, {}))
    assert lease.acquire(world)
    assert not lease.held
    assert lease.renew()
    assert not lease.held


@pytest.mark.parametrize("call", ["create", "patch"])
def test_a_lost_answer_leaves_it_ours(world: World, call: str) -> None:
    lease = world.lease(cluster=Faulty(world.cluster, {call: ["lost"]}))
    with pytest.raises(Unavailable):
        lease.acquire(world)
    assert not lease.held

    assert lease.acquire(world)
    assert lease.held
    assert world.told == []


def test_a_renewal_whose_answer_was_lost_and_a_strangers_remark_do_not_lose_it(world: World) -> None:
    faults: dict[str, list[Any]] = {}
    lease = world.held(cluster=Faulty(world.cluster, faults))
    faults["patch"] = ["lost"]
    assert not lease.renew()
    world.cluster.patch("Lease", lease.name, {"metadata": {"annotations": {"note": "hello"}}})

    assert lease.renew()


def test_a_lease_that_was_deleted_is_lost_for_good(world: World) -> None:
    lease = world.held()
    world.cluster.delete("Lease", lease.name)

    assert not lease.renew()
    assert lease.lost is not None
    assert "deleted" in lease.lost
    world.held(who="bob@there")
    assert not lease.renew()
    assert not lease.held


def test_a_lease_of_somebody_else_is_not_touched(world: World) -> None:
    name = records.lease_name(JOBS)
    made = world.cluster.create(
        {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": {}}
    )

    with pytest.raises(Refused, match="not of a phased run"):
        world.lease().acquire(world)
    assert world.cluster.get("Lease", name) == made


def test_too_many_jobs_are_refused() -> None:
    with pytest.raises(Refused, match="12000 Jobs"):
        records.digests(str(number) for number in range(12_001))


# -- models that share Jobs --------------------------------------------------------------------------------------------


def test_another_model_with_a_job_in_common_is_refused_however_its_clock_goes(world: World) -> None:
    first = world.held("fetch", "merge")
    world.meanwhile = first.renew

    for skew_s in (-86400.0, 86400.0):
        second = world.lease("merge", "report", who="bob@there", skew_s=skew_s)
        with pytest.raises(Refused, match=f"ada@here, process 7 has been running some of these Jobs .*{first.name}"):
            second.acquire(world)
        assert world.record(second).identity == ""
    assert first.renew()


def test_models_without_a_job_in_common_do_not_disturb_each_other(world: World) -> None:
    first, second = world.held("fetch"), world.held("merge", who="bob@there")

    assert first.held
    assert second.held
    assert world.told == []


def test_a_model_that_shares_a_job_with_a_run_that_died_elsewhere_ends_its_hold(world: World) -> None:
    first = world.held("fetch", "merge")

    second = world.held("merge", "report", who="bob@there")

    assert not first.renew()
    assert (
        first.lost == f"A run of some of these Jobs has taken over, as the Lease {first.name} was not renewed in time."
    )
    assert second.renew()


def test_the_senior_of_two_that_begin_waits_until_the_other_has_made_way(world: World) -> None:
    junior_name = records.lease_name(["merge", "report"])
    spec = records.held("bob@there", datetime(2026, 2, 2, tzinfo=UTC))
    junior = records.manifest(junior_name, records.digests(["merge", "report"]), spec)
    world.cluster.create(junior)
    looks: list[float] = []

    def withdraws() -> None:
        looks.append(world.time)
        if len(looks) == 3:
            world.cluster.patch("Lease", junior_name, {"spec": {"holderIdentity": ""}})

    world.meanwhile = withdraws
    lease = world.held("fetch", "merge")

    assert len(looks) == 3
    assert world.record(lease).admitted


def test_the_junior_of_two_that_begin_makes_way_and_is_admitted_when_the_senior_has_withdrawn(world: World) -> None:
    name = records.lease_name(["merge", "report"])
    spec = records.held("bob@there", datetime(2025, 2, 2, tzinfo=UTC))
    world.cluster.create(records.manifest(name, records.digests(["merge", "report"]), spec))
    lease = world.lease("fetch", "merge")
    seen: list[str] = []

    def withdraws() -> None:
        seen.append(world.record(lease).identity)
        world.cluster.patch("Lease", name, {"spec": {"holderIdentity": ""}})

    world.meanwhile = withdraws

    assert lease.acquire(world)
    assert seen == [""]  # it held nothing while the senior was there
    assert lease.held


def test_the_senior_makes_way_when_the_other_is_admitted_first(world: World) -> None:
    junior_name = records.lease_name(["merge", "report"])
    spec = records.held("bob@there", datetime(2026, 2, 2, tzinfo=UTC))
    world.cluster.create(records.manifest(junior_name, records.digests(["merge", "report"]), spec))
    world.meanwhile = lambda: world.cluster.patch(
        "Lease",
        junior_name,
        {
            "metadata": {"annotations": {records.ADMITTED: "true"}},
            "spec": {"renewTime": records.timestamp(datetime.now(UTC))},
        },
    )

    lease = world.lease("fetch", "merge")
    with pytest.raises(Refused, match="bob@there"):
        lease.acquire(world)
    assert world.record(lease).identity == ""


# -- what is noted -----------------------------------------------------------------------------------------------------


def test_what_is_complete_is_known_to_the_next_run(world: World) -> None:
    first = world.held()
    first.note({"fetch": DONE})
    first.release()

    (noted,) = world.held().complete.items()
    assert noted == ("fetch", Completion(uid="u-1", digest="a" * 12, duration_s=2.5))
    assert noted[1].is_of(DONE.digest)
    assert not noted[1].is_of("b" * 64)


def test_a_note_that_could_not_be_written_goes_with_the_next_renewal(world: World) -> None:
    faults: dict[str, list[Any]] = {}
    lease = world.held(cluster=Faulty(world.cluster, faults))
    faults["patch"] = [Unavailable("cluster", "away")]
    lease.note({"fetch": DONE})
    assert world.record(lease).complete == {}

    lease.renew()
    assert set(world.record(lease).complete) == {"fetch"}


def test_what_is_forgotten_is_not_known_any_more(world: World) -> None:
    lease = world.held()
    lease.note({"fetch": DONE, "merge": DONE})
    lease.forget(["fetch", "report"])
    lease.release()

    assert set(world.held().complete) == {"merge"}


def test_a_changed_model_takes_the_notes_of_its_jobs_along(world: World) -> None:
    old = world.held("fetch", "merge")
    old.note({"fetch": DONE, "merge": DONE})
    old.release()

    new = world.held("merge", "report")

    assert set(new.complete) == {"merge"}
    assert set(world.record(new).complete) == {"merge"}
    assert set(world.record(old).complete) == {"fetch"}


def test_the_notes_are_bounded(world: World, caplog: pytest.LogCaptureFixture) -> None:
    lease = world.held()
    chance = random.Random(7)

    def some(count: int) -> dict[str, Completion]:
        made = {f"job-{chance.getrandbits(24):x}": str(UUID(int=chance.getrandbits(128))) for _ in range(count)}
        return {name: Completion(uid=uid, digest=f"{chance.getrandbits(48):x}") for name, uid in made.items()}

    many, huge = some(2500), some(3000)
    lease.note(many)
    lease.note(huge)

    noted = set(lease.complete)
    assert noted > set(many)
    assert noted < set(many) | set(huge)
    assert "no room" in caplog.text
    assert len(world.cluster.get("Lease", lease.name)["metadata"]["annotations"][records.COMPLETE]) <= 144 * 1024


@pytest.mark.parametrize("text", ["%", "bm90IHppcHBlZA==", "eJyrrgUAAXUA+Q=="])
def test_notes_that_cannot_be_read_count_as_none(text: str) -> None:
    assert records.unpacked(text) == {}


# -- its end -----------------------------------------------------------------------------------------------------------


def test_deleting_takes_what_it_owns_along_and_what_former_models_left(world: World) -> None:
    world.held("fetch").release()
    world.held("fetch", "other").release()
    lease = world.held("fetch", "merge")
    owned = {"name": "settings", "ownerReferences": [lease.owner]}
    world.cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": owned})

    lease.delete()

    left = [item["metadata"]["name"] for item in world.cluster.list("Lease")]
    assert left == [records.lease_name(["fetch", "other"])]  # still has a Job that is not ours
    assert world.cluster.list("ConfigMap") == []
    assert not lease.held
    assert not lease.renew()
    assert lease.lost is None


def test_a_cleanup_that_slept_does_not_delete_the_lease_of_who_has_taken_over(world: World) -> None:
    first = world.held()
    second = world.held(who="bob@there")

    first.delete()

    assert second.renew()
    assert first.lost is not None


@pytest.mark.parametrize("verb", ["create", "list", "patch"])
def test_without_the_right_the_run_goes_on_without_and_says_so(world: World, verb: str) -> None:
    forbidden = Unavailable("cluster", f'User "bob" cannot {verb} resource "leases"', status=403)
    lease = world.lease(cluster=Faulty(world.cluster, {verb: [forbidden]}))

    assert lease.acquire(world)

    assert lease.held
    assert lease.owner is None
    (told,) = world.told
    assert "cannot" in told
    lease.note({"fetch": DONE})
    with lease.kept():
        pass
    with pytest.raises(NotFound):
        world.cluster.get("Lease", lease.name)


def test_an_outage_is_raised(world: World) -> None:
    lease = world.lease(cluster=Faulty(world.cluster, {"create": [Unavailable("cluster", "away")]}))
    with pytest.raises(Unavailable, match="away"):
        lease.acquire(world)


def test_what_is_kept_is_released_at_the_end_also_of_an_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "RELEASE_S", 60.0)
    lease = world.held()
    with pytest.raises(KeyError), lease.kept():
        raise KeyError

    assert world.record(lease).identity == ""
    assert not lease.held
