"""``lando definitions check``: a definitions file is checked where it is written, without a server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3
import yaml
from kubernetes.client.exceptions import ApiException
from lando.cli import definitions_check
from lando.cli.app import app
from lando.definitions.connection import Connection
from typer.testing import CliRunner

GREET = """\
- name: greet
  arguments:
    name: {type: string, maxLength: 20}
    times: {type: integer, default: 1}
  spec: |
    apiVersion: batch/v1
    kind: Job
    metadata: {name: greet}
    spec:
      parallelism: {{ times }}
      template:
        spec:
          restartPolicy: Never
          containers:
            - {name: greet, image: "busybox:1", command: [echo, "{{ name }}"]}
"""
PLAIN = GREET.replace("name: greet\n  arg", "name: plain\n  arg").replace("maxLength: 20", "default: x")
Check = Callable[..., Any]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """The command on a file of this text, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(definitions_check, "quiet", lambda: None)

    def run(text: str, *arguments: str) -> Any:
        (tmp_path / "f.yaml").write_text(text)
        return CliRunner().invoke(app, ["definitions", "check", "f.yaml", *arguments])

    return run


class Cluster(Connection):
    """What the cluster answers to the creation of a Job; how often it was asked."""

    def __init__(self) -> None:
        self.answer: Exception | None = None
        self.made: list[Any] = []

    @contextmanager
    def batch(self) -> Iterator[Any]:
        yield SimpleNamespace(create_namespaced_job=self._create)

    @contextmanager
    def core(self) -> Iterator[Any]:
        def read(**_: str) -> Any:
            raise ApiException(status=404)

        yield SimpleNamespace(read_namespaced_config_map=read)

    def close(self) -> None:
        """Nothing is open."""

    def _create(self, *, namespace: str, body: Any, dry_run: str) -> Any:
        assert (namespace, dry_run) == ("batch", "All")
        self.made.append(body if isinstance(body, dict) else body.to_dict())
        if self.answer is not None:
            raise self.answer
        return SimpleNamespace(metadata=SimpleNamespace(name="made"))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    found = Cluster()
    session = SimpleNamespace(session=None, namespace="batch")
    monkeypatch.setattr(definitions_check, "connect", lambda *_, **__: nullcontext(session))
    monkeypatch.setattr(definitions_check, "OwnConnection", lambda _: found)
    return found


def test_a_file_that_is_right_is_told_in_one_line_and_nobody_is_asked(check: Check) -> None:
    done = check(GREET)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "f.yaml can be used: 1 definition; the cluster was not asked.\n"


def test_each_thing_that_is_wrong_is_a_line_and_the_exit_code_says_so(check: Check) -> None:
    text = GREET.replace("Never", "Always").replace("    name: {type", "    spare: {}\n    name: {type")
    done = check(text + "- name: lost\n  spec_path: /nowhere\n- nme: x\n" + PLAIN.replace("spec: |", "sepc: |"))
    assert done.exit_code == 1
    assert [line.split(": ")[0:2] for line in done.stdout.splitlines()] == [
        ["warning  f.yaml:3", "arguments.spare"],
        ["error    f.yaml:14", "spec.template.spec.restartPolicy"],
        ["error    f.yaml:18", "spec_path"],
        ["error    f.yaml:19", "nme"],
        ["error    f.yaml:24", "sepc"],
    ]
    assert done.stderr == "f.yaml can't be used as it is: 4 problems.\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", ": this is no YAML"),
        ("a: b", "f.yaml:1: the file has to"),
        ("kind: Job", "'- name: …'; a Job goes below 'spec: |' of one.\n"),
        ("kind: Deployment", "'- name: …', not a Deployment.\n"),
        ("kind: [Job]", "'- name: …'.\n"),
        ("- {name: a, spec: '{{ x | nosuch }}'}", "No filter named 'nosuch'.\n"),
    ],
)
def test_a_file_that_holds_no_definitions_is_told(check: Check, text: str, says: str) -> None:
    done = check(text)
    assert done.exit_code == 1
    assert says in done.stdout


def test_a_file_that_is_not_there_is_told_in_a_sentence(check: Check) -> None:
    done = CliRunner().invoke(app, ["definitions", "check", "absent.yaml"])
    assert (done.exit_code, done.stderr) == (1, "lando: absent.yaml can't be read: No such file or directory.\n")


def test_with_a_name_what_that_definition_makes_is_printed_and_the_others_do_not_count(check: Check) -> None:
    done = check(GREET + "- name: lost\n  spec_path: /nowhere\n", "greet", "name=Ada: x", "times=2")
    assert (done.exit_code, done.stderr) == (0, "f.yaml can be used: definition greet; the cluster was not asked.\n")
    manifest = yaml.safe_load(done.stdout)
    assert manifest["metadata"] == {"name": "greet"}
    assert manifest["spec"]["parallelism"] == 2
    assert manifest["spec"]["template"]["spec"]["containers"][0]["command"] == ["echo", "Ada: x"]
    assert json.loads(check(GREET, "greet", "name=a", "--json").stdout)["manifest"]["kind"] == "Job"


def test_with_a_name_the_manifest_of_these_arguments_is_looked_at(check: Check) -> None:
    text = GREET.replace("parallelism: {{ times }}", "parallelism: {{ times if times < 3 else 'many' }}")
    assert check(text).exit_code == check(text, "greet", "name=a").exit_code == 0
    done = check(text, "greet", "name=a", "times=3")
    assert done.exit_code == 1
    assert "error    f.yaml:10: spec.parallelism: this has to be a whole number, not 'many'.\n" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("greet",), "f.yaml:2: arguments: arguments are missing: name."),
        (("greet", "name=a", "times=x"), "f.yaml:2: arguments: argument times: 'x' is not of type 'integer'."),
        (("greet", "nam=a"), "f.yaml:2: arguments: there is no argument 'nam'; did you mean 'name'?"),
        (("greet", "name"), "'name' is no argument; write KEY=VALUE, or KEY:=JSON."),
        (("great",), "lando: f.yaml has no definition 'great'; there are greet."),
    ],
)
def test_arguments_that_do_not_fit_are_told(check: Check, arguments: tuple[str, ...], says: str) -> None:
    done = check(GREET, *arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert says in done.stderr


def test_paths_of_templates_can_be_looked_up_below_another_root(check: Check, tmp_path: Path) -> None:
    (tmp_path / "image/etc").mkdir(parents=True)
    (tmp_path / "image/etc/x").write_text("kind: Pod\n")
    done = check("- name: a\n  spec_path: /etc/x\n", "--root", "image")
    assert done.exit_code == 1
    assert "image/etc/x:1: kind: only Jobs can be made" in done.stdout


def test_json_tells_the_same_for_programs(check: Check) -> None:
    done = check(GREET.replace("Never", "Always"), "--json")
    document = json.loads(done.stdout)
    assert (done.exit_code, document["definitions"], document["cluster_asked"]) == (1, 1, False)
    assert document["findings"] == [
        {
            "sentence": "this has to be Never or OnFailure, not 'Always'",
            "file": "f.yaml",
            "line": 13,
            "key": "spec.template.spec.restartPolicy",
            "definition": "greet",
            "is_error": True,
        }
    ]


def test_a_dry_run_asks_the_cluster_for_each_definition_that_needs_no_arguments(check: Check, cluster: Cluster) -> None:
    done = check(GREET + PLAIN, "--dry-run", "-n", "batch")
    assert done.exit_code == 0
    assert "f.yaml:1: the cluster was not asked: arguments are missing: name" in done.stdout
    assert done.stdout.endswith("f.yaml can be used: 2 definitions; nothing in namespace batch is in the way.\n")
    assert [job["metadata"]["labels"]["job_definition_name"] for job in cluster.made] == ["plain"]

    check(GREET + PLAIN, "greet", "name=Ada", "--dry-run")
    assert cluster.made[-1]["spec"]["template"]["spec"]["containers"][0]["command"] == ["echo", "Ada"]


def test_a_dry_run_of_definitions_that_all_need_arguments_does_not_speak_for_the_cluster(
    check: Check, cluster: Cluster
) -> None:
    done = check(GREET, "--dry-run")

    assert done.exit_code == 0
    assert cluster.made == []
    assert done.stdout.splitlines()[-1] == "f.yaml can be used: 1 definition; the cluster was not asked."


def test_what_the_cluster_says_to_a_dry_run_is_told(check: Check, cluster: Cluster) -> None:
    cluster.answer = ApiException(status=422, reason="spec.template: Invalid value")
    done = check(PLAIN, "--dry-run")
    assert done.exit_code == 1
    assert "error    f.yaml:1: the cluster refuses its Job: spec.template: Invalid value.\n" in done.stdout


def test_config_maps_are_looked_at_with_a_dry_run_only(check: Check, cluster: Cluster) -> None:
    text = "- name: a\n  spec_config_map_name: x\n  spec_config_map_namespace: batch\n"
    assert "warning  f.yaml:2: spec_config_map_name: the ConfigMap is looked at with --dry-run" in check(text).stdout
    done = check(text, "a")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "lando: The template of a is in a ConfigMap: have the cluster asked for it by --dry-run." in done.stderr
    done = check(text, "--dry-run")
    assert done.exit_code == 1
    assert done.stdout == "error    f.yaml:2: spec_config_map_name: the namespace batch has no ConfigMap x.\n"


@pytest.mark.parametrize(
    "error",
    [
        urllib3.exceptions.ProtocolError("x"),
        ApiException(status=0, reason="no TLS"),
        ApiException(status=401, reason="Unauthorized"),
        ApiException(status=503, reason="etcd is away"),
    ],
)
def test_a_cluster_that_is_away_is_told_by_the_exit_code(check: Check, cluster: Cluster, error: Exception) -> None:
    cluster.answer = error
    done = check(PLAIN, "--dry-run")
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr.startswith("lando: ")
