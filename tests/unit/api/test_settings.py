"""The server's settings: file, environment, options; mistakes named by file, line and key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lando.api import settings
from lando.errors import ConfigError


def test_without_anything_all_lies_in_the_home(tmp_path: Path) -> None:
    read = settings.load(environment={"LANDO_HOME": str(tmp_path)})
    assert read.database_url == f"sqlite:///{tmp_path}/lando.db"
    assert read.key_file == f"{tmp_path}/server.key"
    assert read.base_url == "http://127.0.0.1:8000"


def test_the_environment_wins_over_the_file_and_options_over_both(tmp_path: Path) -> None:
    file = tmp_path / "api.yaml"
    file.write_text("port: 1\nhost: 0.0.0.0\nrequire_job_tokens: false\nresults_roots: [/a]\n")
    environment = {"LANDO_API_PORT": "2", "LANDO_API_RESULTS_ROOTS": "/b, s3://c", "BESPIN_REQUIRE_JOB_TOKENS": "no"}
    read = settings.load(file, environment=environment, options={"port": 3, "host": None})
    assert (read.port, read.host, read.require_job_tokens) == (3, "0.0.0.0", True)
    assert read.results_roots == ["/b", "s3://c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("host: x\nprot: 1\n", "api.yaml:2: unknown key 'prot'; did you mean 'port'?"),
        ("port: many\n", "api.yaml:1: port must be a whole number, not 'many'."),
        ("port: true\n", "api.yaml:1: port must be a whole number"),
        ("\nresults_roots: /a\n", "api.yaml:2: results_roots must be a list of texts"),
        ("- a\n", "api.yaml: must hold keys and values."),
        ("a: [\n", "api.yaml:2: is no YAML"),
        ("public_url: ftp://x\n", "public_url must begin with http://"),
        ("port: 70000\n", "port must be between 0 and 65535"),
        ("log_format: xml\n", "log_format must be one of console, json, not 'xml'."),
        ("max_body_bytes: 0\n", "max_body_bytes must be more than 0"),
    ],
)
def test_a_mistake_is_one_clear_sentence(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "api.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(message)):
        settings.load(file, environment={})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: can't be read"):
        settings.load(tmp_path / "none.yaml", environment={})


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(ConfigError, match="LANDO_API_PORT must be a whole number"):
        settings.load(environment={"LANDO_API_PORT": "x"})
    with pytest.raises(ConfigError, match="LANDO_API_PORT must be a whole number"):
        settings.load(environment={"LANDO_API_PORT": "{"})


def test_the_databases_password_is_in_no_representation() -> None:
    read = settings.load(environment={}, options={"database_url": "postgresql://u:s3cret@h/d"})
    assert "s3cret" not in repr(read)


def test_an_unknown_variable_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(ConfigError, match="LANDO_API_MAX_RUNING; did you mean LANDO_API_MAX_RUNNING"):
        settings.load(environment={"LANDO_API_MAX_RUNING": "3"})
    with pytest.raises(ConfigError, match="LANDO_API_XYZZY; unset it"):
        settings.load(environment={"LANDO_API_XYZZY": "3"})


def test_what_kubernetes_says_of_a_service_is_no_unknown_variable() -> None:
    environment = {"LANDO_API_WEB_SERVICE_HOST": "10.0.0.7", "LANDO_API_WEB_PORT": "tcp://10.0.0.7:80"}
    assert settings.load(environment=environment).port == 8000


@pytest.mark.parametrize("address", ["*", "proxy.example.org", "10.0.0.1/8", ""])
def test_only_addresses_and_networks_are_trusted_as_proxies(address: str) -> None:
    with pytest.raises(ConfigError, match=r"^trusted_proxies must hold addresses or networks"):
        settings.load(environment={}, options={"trusted_proxies": [address]})
