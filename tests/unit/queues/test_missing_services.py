from __future__ import annotations

import pytest
from tests.services.providing import free_port, missing, wait_until


def test_a_missing_service_skips_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANDO_REQUIRE_SERVICES", raising=False)
    with pytest.raises(pytest.skip.Exception, match="rabbitmq is not to be had: apt install rabbitmq-server"):
        missing("rabbitmq", "apt install rabbitmq-server")


def test_a_missing_service_fails_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDO_REQUIRE_SERVICES", "postgres, rabbitmq")
    with pytest.raises(pytest.fail.Exception, match="rabbitmq is required"):
        missing("rabbitmq", "apt install rabbitmq-server")


def test_ports_for_services_are_below_those_of_outgoing_connections() -> None:
    assert all(20_000 <= free_port() < 32_000 for _ in range(5))


def test_waiting_for_what_never_comes_fails_with_its_name() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"the sunrise did not come true within 0\.01 s"):
        wait_until(lambda: False, 0.01, what="the sunrise")
