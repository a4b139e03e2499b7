"""The APIs, the archive, the store of results, and clocks: each broken in turn."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lando.config import ArchiveSettings, BespinApiSettings, Config, DataStoreSettings, PodSettings
from lando.doctor import api, clocks, stores, tls
from lando.doctor.examining import Asking
from lando.doctor.findings import Finding, Level
from tests.services.providing import free_port
from tests.unit.doctor.conftest import Peer

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def of(part: Any) -> dict[str, Finding]:
    return {one.check: one for one in part if not isinstance(one, Asking)}


def bespin(settings: BespinApiSettings) -> Any:
    return api.examine_bespin(settings, is_alone=False)


def test_apis_as_they_should_be_have_nothing_but_good_lines(config: Config) -> None:
    assert config.lando_api is not None
    found = of(bespin(config.bespin_api)) | of(api.examine_lando(config.lando_api))
    assert {one.level for one in found.values()} == {Level.OK}
    assert found["version"].seen == "one of ours, and ready"


@pytest.mark.parametrize(
    ("code", "check", "words"),
    [
        (401, "token", "is not valid → make one for a staff user, and put it into bespin_api.token(_file)"),
        (403, "token", "its user is not staff"),
        (404, "reach", "check bespin_api.url: nothing of the sort answers there"),
        (503, "reach", "look at that server's log"),
    ],
)
def test_an_api_that_refuses_says_what_of_us_it_refuses(
    config: Config, peer: Peer, code: int, check: str, words: str
) -> None:
    peer.answers["/api/v2/admin/job-errors/"] = (code, {"detail": "no"})
    found = of(bespin(config.bespin_api))[check]
    assert found.level is Level.FAILED
    assert words in f"{found.seen} → {found.advice}"


def test_an_api_of_ours_whose_token_is_of_no_staff(config: Config, peer: Peer) -> None:
    peer.answers["/api/lando/v1/runs/0/condition"] = (403, {"detail": "no"})
    assert config.lando_api is not None
    assert of(api.examine_lando(config.lando_api))["token"].level is Level.FAILED


def test_an_api_that_is_away_an_original_and_one_that_waits(config: Config, peer: Peer) -> None:
    away = BespinApiSettings(url=f"http://127.0.0.1:{free_port()}/api/v2", token="t")
    found = of(bespin(away))
    assert [(one.check, one.level) for one in found.values()] == [("reach", Level.FAILED)]
    assert "Connection refused" in found["reach"].seen
    peer.answers["/readyz"] = (404, {"detail": "Not found."})
    assert of(bespin(config.bespin_api))["version"].level is Level.UNKNOWN
    peer.answers["/readyz"] = (503, {"status": "unavailable", "waits_for": "the database"})
    assert "it says: the database" in of(bespin(config.bespin_api))["version"].seen


def test_an_api_of_ours_without_its_other_routes_tells_users_less(config: Config, peer: Peer) -> None:
    found = of(api.examine_bespin(config.bespin_api, is_alone=True))["lando_api"]
    assert (found.level, found.advice) == (
        Level.WARNING,
        f"set lando_api.url to {peer.url}/api/lando/v1, with the same token",
    )
    peer.answers["/readyz"] = (404, "an original")
    assert "lando_api" not in of(api.examine_bespin(config.bespin_api, is_alone=True))


def test_an_archive_is_tried_and_left_as_it_was(config: Config, tmp_path: Path) -> None:
    config = replace(config, archive=ArchiveSettings(url=tmp_path.as_uri()))
    assert of(stores.examine_archive(config))["archive"].level is Level.OK
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    broken = replace(config, archive=ArchiveSettings(url=(tmp_path / "file").as_uri()))
    found = of(stores.examine_archive(broken))["archive"]
    assert (found.level, "check archive.url" in found.advice) == (Level.FAILED, True)
    assert of(stores.examine_archive(replace(config, archive=ArchiveSettings())))["archive"].level is Level.WARNING
    unknown = replace(config, archive=ArchiveSettings(url="nosuch://bucket"))
    assert of(stores.examine_archive(unknown))["archive"].level is Level.FAILED


def test_a_store_of_results_is_only_looked_for(config: Config, peer: Peer) -> None:
    def found(url: str | None, **env: str) -> Finding:
        settings = replace(config, data_store_settings=DataStoreSettings(url=url), pods=PodSettings(env=env))
        return of(stores.examine_results(settings))["results"]

    assert found(None).level is Level.OK
    assert found("file:///results").level is Level.OK
    assert found("s3://bucket/x", AWS_ENDPOINT_URL=peer.url).level is Level.OK
    away = found("s3://bucket/x", AWS_ENDPOINT_URL=f"http://127.0.0.1:{free_port()}")
    assert (away.level, "Connection refused" in away.seen) == (Level.WARNING, True)


@pytest.mark.parametrize(
    ("ahead_s", "level"), [(0, Level.OK), (29, Level.OK), (-40, Level.WARNING), (300, Level.WARNING)]
)
def test_a_clock_that_differs_is_warned_of(ahead_s: int, level: Level) -> None:
    (found,) = clocks.judge(NOW + timedelta(seconds=ahead_s), NOW, "the cluster's")
    assert found.level is level
    assert clocks.judge(None, NOW, "the cluster's") == []


@pytest.mark.parametrize(
    ("certificate", "level"),
    [
        ({"notAfter": "Mar 04 12:00:00 2027 GMT"}, Level.OK),
        ({"notAfter": "Mar 10 12:00:00 2026 GMT"}, Level.WARNING),
        ({}, Level.WARNING),
    ],
)
def test_a_certificate_that_ends_soon_or_is_not_verified(certificate: dict[str, Any], level: Level) -> None:
    (found,) = tls.judge(certificate, "TLSv1.3", NOW)
    assert found.level is level
