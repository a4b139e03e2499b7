"""What is wrong with the templates that definitions name is told before a Job is asked for."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import urllib3
from kubernetes.client.exceptions import ApiException
from lando.definitions import config, definitions_file, file_reloader
from lando.definitions.checks.looking import look_in_background
from lando.definitions.config import ReloadingJobDefinitionsRegister
from lando.definitions.exceptions import DefinitionError
from lando.definitions.file_reloader import FileReloader
from lando.definitions.spec import YamlFileSpecSource
from tests.unit.definitions.conftest import FakeCore

LIMIT_S = 30.0
JOB = """\
apiVersion: batch/v1
kind: Job
metadata: {name: x}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: busybox}]}}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "definitions.yaml"


def register_of(file: Path, text: str) -> ReloadingJobDefinitionsRegister:
    file.write_text(text)
    return ReloadingJobDefinitionsRegister(FileReloader(file))


def inline(name: str) -> str:
    indented = "".join(f"    {line}\n" for line in JOB.splitlines())
    return f"- name: {name}\n  spec: |\n{indented}"


def test_a_template_file_that_is_missing_or_broken_is_told_when_the_definitions_are_loaded(
    file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    template = tmp_path / "template"
    with caplog.at_level(logging.WARNING):
        register = register_of(file, inline("good") + f"- name: a\n  spec_path: {template}\n")
        missing = f"{file}:8: spec_path: the template {template} can't be read: there is no such file"
        assert caplog.messages == [missing]
        assert register.problems == register.problems == (missing,)

        template.write_text("a: {{ b")
        (broken,) = register.problems
        assert broken.startswith(f"{file}:8: spec_path: {template}: line 1 of the template: ")
        assert caplog.messages == [missing, broken]
        assert register.get_generator("good").generate()

        template.write_text(JOB)
        assert register.problems == ()
        template.write_text("a: {{ b")
        assert register.problems == (f"{broken}; what it was before stays in force",)
        assert register.get_generator("a").generate()["kind"] == "Job"
        assert len(caplog.messages) == 3  # once for each version


def test_what_is_told_of_a_template_file_names_the_line_where_its_definition_is_now(file: Path, tmp_path: Path) -> None:
    entry = f"- name: a\n  spec_path: {tmp_path / 'nowhere'}\n"
    register = register_of(file, entry)
    assert register.problems[0].startswith(f"{file}:2: spec_path: ")
    file.write_text("# moved\n\n" + entry)
    assert register.problems[0].startswith(f"{file}:4: spec_path: ")


CONFIG_MAP = "- name: {0}\n  spec_config_map_name: {0}\n  spec_config_map_namespace: batch\n"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (ApiException(status=404), "the namespace batch has no ConfigMap a"),
        (
            ApiException(status=403, reason="Forbidden"),
            "may not be read: give the account get of configmaps (Forbidden)",
        ),
        (ApiException(status=500, reason="Internal Error"), "can't be read: Internal Error"),
        (urllib3.exceptions.MaxRetryError(None, ""), "can't be read: the cluster is away"),  # type: ignore[arg-type]
        ({}, "has no key 'a'"),
        ({"a": "x: {{ y"}, "line 1 of the template"),
    ],
)
def test_a_look_tells_which_config_map_can_not_be_used_and_why(
    file: Path,
    core: FakeCore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answer: Any,
    says: str,
) -> None:
    register = register_of(file, inline("good") + CONFIG_MAP.format("a"))
    core.config_maps["batch", "a"] = answer
    if isinstance(answer, Exception):

        def refuse(**_: str) -> None:
            raise answer

        monkeypatch.setattr(core, "read_namespaced_config_map", refuse)
    assert register.problems == ()
    assert register.get_generator("good").generate()  # which asks nobody about the other

    with caplog.at_level(logging.WARNING):
        register.look()
        register.look()

    (problem,) = register.problems
    assert problem.startswith(f"{file}:8: spec_config_map_name: ")
    assert says in problem
    assert caplog.messages == [problem]
    monkeypatch.undo()
    monkeypatch.setattr("kubernetes.client.CoreV1Api", lambda connected: core)
    core.config_maps["batch", "a"] = {"a": JOB}
    register.look()
    assert register.problems == ()


def test_of_many_config_maps_each_has_its_turn_and_one_that_fails_does_not_stop_the_rest(
    file: Path, core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "CONFIG_MAPS", 2)
    register = register_of(file, "".join(map(CONFIG_MAP.format, "abc")))
    core.config_maps["batch", "b"] = {"b": JOB}

    register.look()
    assert len(register.problems) == 1
    register.look()
    assert len(register.problems) == 2


@pytest.mark.parametrize("error", [urllib3.exceptions.ProtocolError(), ApiException(status=500)])
def test_a_cluster_that_is_away_is_not_asked_for_the_rest(
    file: Path, core: FakeCore, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    asked = []

    def away(*, name: str, namespace: str) -> None:
        asked.append(name)
        raise error

    monkeypatch.setattr(core, "read_namespaced_config_map", away)
    register = register_of(file, "".join(map(CONFIG_MAP.format, "abc")))
    register.look()
    assert asked == ["a"]


def test_the_background_looks_at_once_and_after_each_change_of_the_definitions(file: Path, core: FakeCore) -> None:
    asked: list[str] = []
    heard = threading.Condition()

    def read(*, name: str, namespace: str) -> None:
        with heard:
            asked.append(name)
            heard.notify()
        raise ApiException(status=404)

    core.read_namespaced_config_map = read  # type: ignore[method-assign]
    register = register_of(file, CONFIG_MAP.format("a"))
    stop = look_in_background(register, 3600)
    with heard:
        assert heard.wait_for(lambda: "a" in asked, LIMIT_S)
    file.write_text(CONFIG_MAP.format("bb"))
    assert list(register.generators) == ["bb"]
    with heard:
        assert heard.wait_for(lambda: "bb" in asked, LIMIT_S)
    stop()


def test_a_template_file_that_is_no_text_any_more_leaves_the_last_good_one(tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.write_text("a: 1")
    source = YamlFileSpecSource(template)
    assert source.get() == {"a": 1}
    template.write_bytes(b"\xff\xfe")
    assert source.get() == {"a": 1}
    assert str(source.problem).endswith("this is no UTF-8 text; what it was before stays in force")


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DefinitionError, match="it is no regular file"):
        YamlFileSpecSource(tmp_path / "pipe").get()
    register = ReloadingJobDefinitionsRegister(FileReloader(tmp_path / "pipe"))
    assert register.problems == (f"{tmp_path / 'pipe'}: the file can't be read: it is no regular file",)


def test_a_file_without_end_is_not_read_to_its_end(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_reloader, "MAX_SIZE", 1000)
    register = register_of(file, inline("a"))
    file.write_text(inline("a") + "#" * 1000)
    assert register.problems == (f"{file}: this is longer than 1,000 characters; the version before stays in force",)
    assert register.get_generator("a").generate()


def test_a_file_that_is_written_while_it_is_read_is_read_again(file: Path) -> None:
    file.write_text("- half")
    reloader = FileReloader(file)
    update = reloader.maybe_reload()
    assert next(update) is not None
    with file.open("a") as writer:
        writer.write("and whole")
    update.send(None)

    update = reloader.maybe_reload()
    again = next(update)
    assert again is not None
    assert again.read() == "- halfand whole"


def test_keys_and_sources_that_do_not_count_are_told_in_the_log(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        register = register_of(
            file, 2 * inline("a") + "  spec_path: /x\n" + inline("b").replace("name: b", "name: b\n  name: c", 1)
        )
        assert register.problems == ()
    assert caplog.messages == [
        f"{file}:13: spec_path: this is not looked at, as there is spec",
        f"{file}:7: name: 'a' stands in line 1, too; this one counts",
        f"{file}:15: name: this key stands twice; the last one counts",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, ":1: this is nested more than 100 levels deep"),
        ("- &a {<<: [*a]}\n", "values when what * names is put in its place"),
        (
            "- &a0 [1]\n" + "".join(f"- &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)),
            "values when",
        ),
        ("- <<: 5\n", "expected a mapping"),
    ],
)
def test_what_would_grow_without_end_is_refused_and_the_rest_works(file: Path, text: str, says: str) -> None:
    register = register_of(file, text)
    assert any(says in problem for problem in register.problems)
    file.write_text(f"{text}- &b {{spec_path: /nowhere}}\n- {{<<: *b, name: good}}\n")
    if not text.startswith("["):
        assert list(register.generators) == ["good"]


def test_one_change_is_read_once_however_many_threads_ask(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register = register_of(file, inline("a"))
    read, begun, done = definitions_file.read, threading.Event(), threading.Event()
    calls: list[str] = []

    def slow(text: str, *arguments: Any, **more: Any) -> Any:
        calls.append(text)
        begun.set()
        assert done.wait(LIMIT_S)
        return read(text, *arguments, **more)

    monkeypatch.setattr(definitions_file, "read", slow)
    file.write_text(inline("bb"))
    seen: list[list[str]] = []
    threads = [threading.Thread(target=lambda: seen.append(list(register.generators))) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert begun.wait(LIMIT_S)
    done.set()
    for thread in threads:
        thread.join(LIMIT_S)
    assert seen == [["bb"]] * 8
    assert len(calls) == 1


def test_what_has_not_changed_keeps_its_template_and_is_not_checked_again(file: Path) -> None:
    register = register_of(file, inline("a") + inline("b"))
    before = register.generators
    file.write_text("# moved\n" + inline("a") + inline("b").replace("name: x", "name: y"))
    after = register.generators
    assert after["a"] is before["a"]
    assert after["b"] is not before["b"]


def test_whatever_goes_wrong_with_a_new_version_leaves_the_one_before(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = register_of(file, inline("a"))
    monkeypatch.setattr(definitions_file, "read", lambda *_, **__: 1 / 0)
    file.write_text(inline("bb"))
    assert list(register.generators) == ["a"]
    assert register.problems == (f"{file}: this can't be used: ZeroDivisionError; the version before stays in force",)


def test_a_file_that_could_not_be_read_to_its_end_is_read_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register = register_of(file, inline("a"))
    file.write_text(inline("bb"))
    with monkeypatch.context() as patched:
        patched.setattr(config, "text_of", Mock(side_effect=OSError(5, "Input/output error")))
        assert list(register.generators) == ["a"]
        assert register.problems == (f"{file}: the file can't be read: Input/output error",)
    assert list(register.generators) == ["bb"]
    assert register.problems == ()
