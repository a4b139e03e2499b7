"""A configuration file is read whole, and every mistake in it is named by file, line and key."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from lando.config import Config, load, read, secret_values
from lando.errors import ConfigError

Write = Callable[..., Path]
NO_ENVIRONMENT: dict[str, str] = {}


def errors(path: Path, environ: dict[str, str] | None = None) -> list[str]:
    return [str(error).replace(str(path), "FILE") for error in read(path, environ=environ or {}).errors]


def test_the_file_of_the_original_is_read(write: Write) -> None:
    config = load(write(), environ=NO_ENVIRONMENT)

    assert config.work_queue.host == "mq.example.org"
    assert config.cluster_api_settings.token == "s3cret-cluster"
    assert config.run_workflow_settings.system_data_volume is not None
    assert config.run_workflow_settings.system_data_volume.mount_path == "/bespin/system/"
    assert config.base_stage_data_volume_size_in_g == 1
    assert config.patience_s == 600


def test_our_own_keys_are_read(write: Write) -> None:
    path = write(
        add="""\
archive: {url: 'file:///var/lib/lando/archive', max_bytes_per_container: 1000}
pods:
  security: openshift
  limits: {cpu: 2, memory: 1Gi}
  tolerations: [{key: a, operator: Exists}]
steps:
  run_workflow: {deadline_s: 3600, limits: {memory: 8Gi}}
lando_api: {url: 'https://lando.example.org/api/lando/v1', token: s3cret-lando}
retention: {failed_s: 60}
"""
    )
    config = load(path, environ=NO_ENVIRONMENT)

    assert config.archive.max_bytes_per_container == 1000
    assert config.pods.limits == {"cpu": "2", "memory": "1Gi"}
    assert config.pods.tolerations == [{"key": "a", "operator": "Exists"}]
    assert config.steps["run_workflow"].deadline_s == 3600
    assert config.lando_api is not None
    assert config.retention.failed_s == 60


def test_all_mistakes_are_told_at_once_in_the_order_of_lines(write: Write) -> None:
    path = write(
        ("  host: mq.example.org\n", ""),
        ("verify_ssl: true", "verify_ssl: maybe"),
        ("base_stage_data_volume_size_in_g: 1", "base_stage_data_volume_size_in_g: lots"),
        ("/api/v2", "/api/v1"),
    )
    assert errors(path) == [
        "FILE:2: work_queue.host: is required, unless url is given.",
        "FILE:11: cluster_api_settings.verify_ssl: must be true or false, not text.",
        "FILE:14: bespin_api.url: must end in /api/v2, not /api/v1.",
        "FILE:25: base_stage_data_volume_size_in_g: must be a whole number, not text.",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("host: mq.example.org", "host: TODO", "2: work_queue.host: still says TODO; put the real value here."),
        (
            "password: s3cret-broker",
            "password: 12345",
            "4: work_queue.password: must be text, not a number. Put it in quotes.",
        ),
        ("username: lando", "username: [lando]", "3: work_queue.username: must be text, not a list."),
        (
            "log_level: INFO",
            "log_level: LOUD",
            "27: log_level: must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL or a number, not LOUD.",
        ),
        ("storage_class_name: fast", "workers: 0", "25: workers: must be 1 to 64, not 0."),
        (
            "storage_class_name: fast",
            "pods: {security: none}",
            "25: pods.security: must be one of restricted, openshift, legacy, not none.",
        ),
        ("storage_class_name: fast", "resync_s: 1.5", "25: resync_s: must be a whole number, not a number."),
        (
            "storage_class_name: fast",
            "pods: 3",
            "25: pods: must be a block of keys and values, not a number.",
        ),
        (
            "storage_class_name: fast",
            "lando_api: {url: 'http://x/api/lando/v1'}",
            "25: lando_api.token: is required (or token_file, or the environment's LANDO_LANDO_API_TOKEN).",
        ),
        ("  namespace: lando-job-runner\n", "", "9: cluster_api_settings.namespace: is required."),
        (
            "  host: https://cluster.example.org:6443",
            "  host: cluster.example.org",
            "9: cluster_api_settings.host: must begin with https:// or http://.",
        ),
        (
            "    mount_path: /bespin/system/\n",
            "",
            "21: run_workflow_settings.system_data_volume.mount_path: is required.",
        ),
    ],
)
def test_each_mistake_says_where_and_what_to_do(write: Write, old: str, new: str, expected: str) -> None:
    assert errors(write((old, new))) == [f"FILE:{expected}"]


def test_an_unknown_step_type_is_refused(write: Write) -> None:
    [error] = errors(write(add="steps: {stage: {deadline_s: 5}}\n"))
    assert error.startswith("FILE:28: steps: stage: no such step type; known are stage_data, run_workflow")


def test_a_key_that_stands_twice_is_refused_and_both_lines_are_named(write: Write) -> None:
    assert errors(write(add="log_level: DEBUG\n")) == [
        "FILE:28: log_level: stands here and in line 27; keep one of the two."
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "FILE: is empty; k8s.config.sample shows what belongs in it."),
        ("- a\n", "FILE:1: must be a block of keys and values, not a list."),
        ("a: [1\nb: 2\n", "FILE:2: is not valid YAML: did not find expected ',' or ']'."),
        ("a: \x01", "FILE: is not valid YAML: it holds a control character."),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "k8s.config"
    path.write_text(text, encoding="utf-8")
    [error] = errors(path)
    # libyaml and the pure reader word some findings differently
    assert error == expected or re.match(r"FILE:2: is not valid YAML: ", error)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    assert errors(tmp_path / "none") == ["FILE: can't be read: No such file or directory."]


def test_text_that_is_not_utf8_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "k8s.config"
    path.write_bytes(b"a: \xff\n")
    assert errors(path) == ["FILE: is not UTF-8 text."]


def test_an_unknown_key_is_warned_of_with_the_nearest_known_one(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    path = write(add="patience: 5\n")
    with caplog.at_level(logging.WARNING, "lando.config"):
        load(path, environ=NO_ENVIRONMENT)
    assert caplog.messages == [f"{path}:28: patience: is not a known key and has no effect; did you mean patience_s?"]


def test_strict_reading_refuses_an_unknown_key(write: Write) -> None:
    with pytest.raises(ConfigError, match=r":28: patience: is not a known key"):
        load(write(add="patience: 5\n"), strict=True, environ=NO_ENVIRONMENT)


def test_a_secret_comes_from_a_file(write: Write, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("from-a-file\n")
    path = write(("token: s3cret-bespin", f"token_file: {secret}"))
    assert load(path, environ=NO_ENVIRONMENT).bespin_api.token == "from-a-file"


def test_a_secret_comes_from_the_environment_and_wins(write: Write) -> None:
    environ = {"LANDO_WORK_QUEUE_PASSWORD": "from-outside", "LANDO_BESPIN_API_TOKEN": "also"}
    config = load(write(("  token: s3cret-bespin\n", "")), environ=environ)
    assert (config.work_queue.password, config.bespin_api.token) == ("from-outside", "also")


def test_a_secret_given_twice_is_refused(write: Write) -> None:
    path = write(("  token: s3cret-bespin", "  token: s3cret-bespin\n  token_file: /nowhere"))
    assert errors(path) == ["FILE:17: bespin_api.token: stands here and in token_file; keep one of the two."]


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "can't be read: No such file or directory"), ("\n", "is empty")]
)
def test_a_secret_file_without_a_secret_is_refused(
    write: Write, tmp_path: Path, content: str | None, reason: str
) -> None:
    secret = tmp_path / "token"
    if content is not None:
        secret.write_text(content)
    path = write(("token: s3cret-bespin", f"token_file: {secret}"))
    assert errors(path) == [f"FILE:16: bespin_api.token_file: {secret} {reason}."]


@pytest.mark.parametrize("given", ["kubeconfig: /home/me/.kube/config", "in_cluster: true"])
def test_the_cluster_may_be_reached_without_host_and_token(write: Write, given: str) -> None:
    path = write(("  host: https://cluster.example.org:6443\n  token: s3cret-cluster\n", f"  {given}\n"))
    assert errors(path) == []


def test_the_broker_may_be_given_by_url_alone(write: Write) -> None:
    login = "  host: mq.example.org\n  username: lando\n  password: s3cret-broker\n"
    assert errors(write((login, "  url: memory://here\n"))) == []
    assert errors(write((login, "  url: redis://here\n"))) == [
        "FILE:2: work_queue.url: must begin with amqp:// or amqps:// or memory://."
    ]


def test_what_is_risky_is_warned_of(write: Write) -> None:
    path = write(
        ("verify_ssl: true", "verify_ssl: False"),
        ("record_output_project_settings:\n  service_account_name: annotation-writer\n", ""),
    )
    warnings = [str(warning).replace(str(path), "FILE") for warning in read(path, environ={}).warnings]
    assert warnings == [
        "FILE:12: cluster_api_settings.verify_ssl: is off: anyone on the way can read the token."
        " Give ssl_ca_cert instead.",
        "FILE: record_output_project_settings: is missing; a record step runs under the namespace's default account.",
    ]


def test_a_data_service_without_a_credential_is_warned_of(write: Write) -> None:
    path = write(("  secret_name: ddsclient-agent", "  url: 'dds:'"))
    [warning] = [str(warning) for warning in read(path, environ={}).warnings]
    assert "data_store_settings.url: is the Duke Data Service, which needs a credential" in warning
    assert not read(write(("  secret_name: ddsclient-agent", "  secret_name: x\n  url: 'dds:'")), environ={}).warnings


def test_neither_a_finding_nor_a_configuration_shows_a_secret(write: Write) -> None:
    config = load(write(), environ=NO_ENVIRONMENT)
    assert "s3cret" not in repr(config)
    path = write(("url: https://bespin.example.org/api/v2", "url: 3"), ("token: s3cret-cluster", "token: [s3cret-x]"))
    assert not [error for error in errors(path) if "s3cret" in error]


def test_every_secret_of_a_configuration_is_found(write: Write) -> None:
    config = load(write(), environ=NO_ENVIRONMENT)
    expected = {"s3cret-broker", "s3cret-worker", "s3cret-cluster", "s3cret-bespin"}
    assert set(secret_values(config)) == expected


def test_every_credential_field_is_marked_secret_and_hidden() -> None:
    def fields(cls: type) -> list[dataclasses.Field[object]]:
        return list(dataclasses.fields(cls))

    import lando.config.settings as settings

    classes = [one for one in vars(settings).values() if dataclasses.is_dataclass(one) and isinstance(one, type)]
    assert Config in classes
    for cls in classes:
        for field in fields(cls):
            sounds_secret = field.name in ("token", "password", "worker_password")
            assert bool(field.metadata.get("secret")) >= sounds_secret
            assert field.repr is not bool(field.metadata.get("secret"))


@pytest.mark.parametrize("key", ["pods", "archive", "staging", "retention", "metrics_port", "patience_s", "steps"])
def test_a_key_with_nothing_behind_it_has_its_default(write: Write, key: str) -> None:
    assert load(write(add=f"{key}:\n"), environ=NO_ENVIRONMENT) == load(write(), environ=NO_ENVIRONMENT)
