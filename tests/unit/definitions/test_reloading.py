"""Files of definitions and templates are read again when they change."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest
from kubernetes.client.exceptions import ApiException
from lando.definitions.config import JobDefinition, JobManagerFactory, ReloadingJobDefinitionsRegister
from lando.definitions.exceptions import DefinitionError, NotFoundException
from lando.definitions.file_reloader import FileReloader
from lando.definitions.spec import ConfigMapSpecSource, YamlFileSpecSource, YamlStringSpecSource
from tests.unit.definitions.conftest import FakeCore

POD = "{restartPolicy: Never, containers: [{name: main, image: busybox}]}"


def entry(name: str, manifest_name: str = "x") -> str:
    return (
        f"- name: {name}\n  spec: |\n    {{apiVersion: batch/v1, kind: Job, metadata: {{name: {manifest_name}}},\n"
        f"     spec: {{template: {{spec: {POD}}}}}}}\n"
    )


def written(path: Path, text: str, *, mtime: float | None = None) -> Path:
    path.write_text(text)
    if mtime is not None:
        os.utime(path, (mtime, mtime))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "definitions.yaml"


def register_of(file: Path) -> ReloadingJobDefinitionsRegister:
    return ReloadingJobDefinitionsRegister(FileReloader(file))


def made(register: ReloadingJobDefinitionsRegister, name: str) -> str:
    return str(register.get_generator(name).generate()["metadata"]["name"])


def test_a_reloader_gives_the_text_once_until_it_changes(file: Path) -> None:
    reloader = FileReloader(written(file, "one", mtime=1000))
    seen = []

    update = reloader.maybe_reload()
    stream = next(update)
    assert stream is not None
    assert stream.read() == "one"
    assert update.send(lambda: seen.append(1)) is None
    assert seen == [1]

    assert list(reloader.maybe_reload()) == []
    written(file, "two", mtime=900)  # older than what was seen, and different all the same
    assert len(list(reloader.maybe_reload())) == 2


def test_a_missing_file_yields_nothing_and_is_a_change_when_it_comes_back(file: Path) -> None:
    reloader = FileReloader(file)
    assert list(reloader.maybe_reload()) == []

    written(file, "one", mtime=1000)
    update = reloader.maybe_reload()
    next(update)
    update.send(None)
    hidden = file.rename(file.with_suffix(".hidden"))
    assert list(reloader.maybe_reload()) == []
    hidden.rename(file)

    assert next(reloader.maybe_reload()) is not None


def test_a_change_counts_as_seen_only_after_what_was_sent(file: Path) -> None:
    reloader = FileReloader(written(file, "one"))
    update = reloader.maybe_reload()
    next(update)
    with pytest.raises(RuntimeError):
        update.send(Mock(side_effect=RuntimeError))

    assert next(reloader.maybe_reload()) is not None


def test_of_two_readers_of_one_change_the_first_to_send_applies_it(file: Path) -> None:
    reloader = FileReloader(written(file, "one"))
    first, second = reloader.maybe_reload(), reloader.maybe_reload()
    next(first)
    next(second)
    applied, dropped = Mock(), Mock()
    first.send(applied)
    second.send(dropped)

    applied.assert_called_once()
    dropped.assert_not_called()


def test_what_was_read_before_the_file_vanished_is_not_applied_after(file: Path) -> None:
    reloader = FileReloader(written(file, "one", mtime=1000))
    update = reloader.maybe_reload()
    next(update)
    hidden = file.rename(file.with_suffix(".hidden"))
    forgotten, dropped = Mock(), Mock()

    assert reloader.if_missing(forgotten)
    update.send(dropped)
    hidden.rename(file)

    forgotten.assert_called_once()
    dropped.assert_not_called()
    assert not reloader.if_missing(forgotten)
    assert next(reloader.maybe_reload()) is not None


def test_threads_that_look_while_the_file_comes_goes_and_changes_end_with_what_is_there(file: Path) -> None:
    register = register_of(file)
    enough = threading.Event()
    strange: list[object] = []

    def look() -> None:
        while not enough.is_set():
            try:
                if not set(register.generators) <= {"a"} or not made(register, "a").startswith("v"):
                    strange.append(register.generators)
            except NotFoundException:
                pass

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in range(100):
        new = written(file.with_suffix(".new"), entry("a", f"v{version}"))
        new.rename(file)
        if version % 3 == 0:
            file.unlink()
    last = written(file.with_suffix(".new"), entry("a", "vlast"))
    last.rename(file)
    enough.set()
    for thread in threads:
        thread.join(30)

    assert strange == []
    assert made(register, "a").startswith("vlast-")


def test_a_file_that_may_not_be_read_leaves_what_was_and_is_told(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    register = register_of(written(file, entry("a")))
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr("lando.definitions.file_reloader.os.stat", Mock(side_effect=PermissionError(13, "denied")))
        assert list(register.generators) == ["a"]
        assert register.problems == (f"{file}: the file can't be read: denied",)
    assert len(caplog.messages) == 1
    assert register.problems == ()


def test_a_mounted_config_map_that_swaps_its_symlink_is_read_again(tmp_path: Path) -> None:
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        written(tmp_path / version / "definitions", entry("a", version), mtime=1000)
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "definitions").symlink_to("..data/definitions")
    register = register_of(tmp_path / "definitions")
    assert made(register, "a").startswith("one-")

    (tmp_path / "..tmp").symlink_to("two")
    (tmp_path / "..tmp").rename(tmp_path / "..data")

    assert made(register, "a").startswith("two-")


def test_a_file_that_is_missing_at_the_start_is_logged_and_found_later(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        register = JobManagerFactory.from_vars("ours", "default", file).register
        with pytest.raises(NotFoundException, match="no such file"):
            register.get_generator("a")
    assert len(caplog.messages) == 1

    written(file, entry("a"))
    assert isinstance(register, ReloadingJobDefinitionsRegister)
    assert made(register, "a").startswith("x-")

    file.unlink()
    with pytest.raises(NotFoundException):
        register.get_generator("a")


@pytest.mark.parametrize("broken", ["- name: [", "name: a", "\udc80"])
def test_a_broken_version_leaves_the_last_good_one_in_force(
    file: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    register = register_of(written(file, entry("a", "good")))
    file.write_bytes(broken.encode(errors="surrogateescape"))
    with caplog.at_level(logging.WARNING):
        assert made(register, "a").startswith("good-")
        assert made(register, "a").startswith("good-")

    assert len(caplog.messages) == 1  # once for each version
    assert str(file) in register.problems[0]
    written(file, entry("b"))
    assert list(register.generators) == ["b"]
    assert register.problems == ()


def test_one_bad_entry_leaves_the_others_and_its_own_last_good_one(file: Path) -> None:
    register = register_of(written(file, entry("a", "one") + entry("b", "one")))
    written(file, entry("a", "two") + "- name: b\n  sepc: x\n- name: c\n- spec: x\n")

    assert made(register, "a").startswith("two-")
    assert made(register, "b").startswith("one-")
    with pytest.raises(ValueError, match=f"{file}:7: definition 'c' has no manifest"):
        register.get_generator("c")
    assert [problem.removeprefix(f"{file}:").split(":")[0] for problem in register.problems] == ["6", "7", "8"]
    assert "sepc: there is no such key" in register.problems[0]


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("- name: a\n  colour: red\n  spec: x\n", TypeError, ":2: colour: there is no such key"),
        ("- name: a\n  spec: {kind: Job}\n", TypeError, ":2: spec: this has to be text; begin the manifest"),
        ("- name: a\n  spec_config_map_name: x\n", ValueError, ":1: definition 'a' has no manifest"),
        ("- name: a\n  spec: ''\n  spec_path: ''\n", ValueError, ":1: definition 'a' has no manifest"),
        ("- name: a\n  spec: |\n    x: 1\n    y: {{ z\n", ValueError, ":4: spec: "),
        (
            "- name: a\n  spec: x\n  arguments:\n    n: {type: whole}\n",
            ValueError,
            ":4: arguments.n: this is no JSON Schema: type: 'whole'",
        ),
        (
            "- name: a\n  spec: x\n  arguments:\n    m: {}\n    n: {type: integer, default: b}\n",
            ValueError,
            ":5: arguments.n: its default does not fit",
        ),
        ("- name: a\n  spec: x\n  arguments:\n    n: {pattern: '['}\n", ValueError, "'[' is not a 'regex'"),
        ("- name: a\n  spec: x\n  arguments:\n    n: {$ref: '#', default: 1}\n", ValueError, "leads back to itself"),
        ("- name: a\n  spec: x\n  arguments: &a\n    n: *a\n", ValueError, ":1: it holds more than 100,000 values"),
        (
            "- name: a\n  spec: |\n    x: {{ m }}\n  arguments:\n    n: {type: integer}\n",
            ValueError,
            ":4: arguments: the template needs m, which is not declared",
        ),
    ],
)
def test_a_mistake_is_told_by_file_line_and_key(file: Path, text: str, error: type[Exception], says: str) -> None:
    register = register_of(written(file, text))

    with pytest.raises(error) as caught:
        register.get_generator("a")
    assert str(caught.value).startswith(str(file))
    assert says in str(caught.value)


def test_a_name_that_is_no_label_value_is_refused(file: Path) -> None:
    with pytest.raises(ValueError, match="can't be the value of a label"):
        register_of(written(file, entry("'a b'"))).get_generator("a b")


@pytest.mark.parametrize("empty", ["", "[]", "# nothing\n", "null\n"])
def test_an_empty_file_has_no_definitions(file: Path, empty: str) -> None:
    assert register_of(written(file, empty)).generators == {}


def test_of_two_entries_of_a_name_the_last_one_counts(file: Path) -> None:
    assert made(register_of(written(file, entry("a", "one") + entry("a", "two"))), "a").startswith("two-")


def test_a_definition_takes_the_first_source_that_is_set() -> None:
    assert isinstance(JobDefinition("a", spec="x", spec_path="y").spec_source(), YamlStringSpecSource)
    assert isinstance(JobDefinition("a", "", "y", "z", "n").spec_source(), YamlFileSpecSource)
    assert isinstance(JobDefinition("a", None, "", "z", "n").spec_source(), ConfigMapSpecSource)
    with pytest.raises(ValueError, match="'a' has no manifest"):
        JobDefinition("a", spec_config_map_name="z").spec_source()
    with pytest.raises(TypeError):
        JobDefinition()  # type: ignore[call-arg]


def test_a_template_file_is_read_again_and_a_broken_one_is_not_used(file: Path) -> None:
    source = YamlFileSpecSource(file)
    with pytest.raises(DefinitionError, match="can't be read: there is no such file"):
        source.get()
    written(file, "a: {{ x }}")
    assert source.get({"x": 1}) == {"a": 1}
    assert source.template_vars() == ["x"]
    written(file, "a: {{ broken")
    assert source.get({"x": 2}) == {"a": 2}
    written(file, "b: 1")
    assert source.get() == {"b": 1}


def test_a_template_file_that_is_broken_from_the_start_says_so(file: Path) -> None:
    with pytest.raises(DefinitionError, match=r"definitions.yaml: line 1 of the template"):
        YamlFileSpecSource(written(file, "a: {{ broken")).get()


def test_a_config_map_is_read_each_time(core: FakeCore) -> None:
    source = ConfigMapSpecSource("pi", "batch")
    with pytest.raises(NotFoundException, match=r"^the namespace batch has no ConfigMap pi$") as missing:
        source.get()
    assert isinstance(missing.value.args[0], ApiException)
    core.config_maps["batch", "pi"] = {"other": ""}
    with pytest.raises(DefinitionError, match="ConfigMap pi of namespace batch has no key 'pi'"):
        source.get()
    core.config_maps["batch", "pi"] = {"pi": "a: {{ x }}"}
    assert source.get({"x": 1}) == {"a": 1}
    assert source.template_vars() == ["x"]
    core.config_maps["batch", "pi"] = {"pi": "b: 1"}
    assert source.get() == {"b": 1}


@pytest.mark.parametrize("kind", ["file", "config map", "text"])
def test_each_thread_gets_one_version_with_its_own_arguments_while_the_template_changes(
    kind: str, core: FakeCore, tmp_path: Path
) -> None:
    path = tmp_path / "template"

    def hold(version: int) -> None:
        text = f"v: {version}\nmine: {{{{ x }}}}\nw: {version}\n"
        core.config_maps["batch", "map"] = {"map": text}
        written(path.with_suffix(".new"), text).rename(path)

    hold(0)
    source = {
        "file": YamlFileSpecSource(path),
        "config map": ConfigMapSpecSource("map", "batch"),
        "text": YamlStringSpecSource(path.read_text()),
    }[kind]
    together = threading.Barrier(5, timeout=30)
    strange: list[object] = []

    def ask(me: int) -> None:
        together.wait()
        before = 0
        for number in range(25):
            try:
                made = source.get({"x": f"{me}-{number}", "surplus": me})
            except Exception as error:
                strange.append(error)
                raise
            if made["v"] != made["w"] or made["mine"] != f"{me}-{number}" or made["v"] < before:
                strange.append(made)
            before = made["v"]

    threads = [threading.Thread(target=ask, args=(me,)) for me in range(4)]
    for thread in threads:
        thread.start()
    together.wait()
    for version in range(1, 31):
        hold(version)
    for thread in threads:
        thread.join(30)

    assert strange == []
    assert source.get({"x": 1}) == {"v": 30, "mine": 1, "w": 30} or kind == "text"


def test_the_environment_names_all_three(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    with pytest.raises(KeyError, match="JOB_SIGNATURE"):
        JobManagerFactory.from_env()
    for variable, value in (("SIGNATURE", "s"), ("NAMESPACE", "n"), ("DEFINITIONS_CONFIG_PATH", str(file))):
        monkeypatch.setenv(f"JOB_{variable}", value)

    factory = JobManagerFactory.from_env()

    assert (factory.signature, factory.namespace) == ("s", "n")
    assert factory.manager() is not factory.manager()
    assert factory.manager().register is factory.register


def test_a_link_that_is_swapped_while_its_file_is_read_is_read_again(tmp_path: Path) -> None:
    for version in ("one", "two"):
        written(tmp_path / version, version, mtime=1000)
    link = tmp_path / "link"
    link.symlink_to("one")
    reloader = FileReloader(link)
    update = reloader.maybe_reload()
    stream = next(update)
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(link)
    assert stream is not None
    assert stream.read() == "one"
    update.send(None)

    update = reloader.maybe_reload()
    stream = next(update)
    assert stream is not None
    assert stream.read() == "two"
