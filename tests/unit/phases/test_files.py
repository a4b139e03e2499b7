"""A folder on disk and a bundle in memory look alike to a reader, and neither can be made to hang."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lando.phases import files
from lando.phases.files import Bundle, Files, Folder, Kind, UnreadableError
from lando.phases.reading import read
from tests.unit.phases.models import manifest

TEXTS = {
    "model.yaml": "model",
    "k8s/b.yaml": "b",
    "k8s/a.json": "\ufeffa",
    "k8s/c.yml": "c",
    "k8s/d.YAML": "d",
    "k8s/readme.md": "text",
    "k8s/deep/er/z.yaml": "z",
    "k8s/.hidden.yaml": "hidden",
    "k8s/..2024/b.yaml": "a mounted ConfigMap's second copy",
    "k8s/..2024/deep/b.yaml": "and below it",
}


def folder(root: Path) -> Files:
    for path, text in TEXTS.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return Folder(root)


@pytest.fixture(params=[folder, lambda _: Bundle(TEXTS)], ids=["folder", "bundle"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    make: Callable[[Path], Files] = request.param
    return make(tmp_path)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("model.yaml", Kind.FILE),
        ("./k8s//b.yaml", Kind.FILE),
        ("k8s/deep/../b.yaml", Kind.FILE),
        ("k8s", Kind.DIRECTORY),
        ("k8s/", Kind.DIRECTORY),
        ("k8s/deep/er", Kind.DIRECTORY),
        (".", Kind.DIRECTORY),
        ("k8s/none.yaml", Kind.ABSENT),
        ("model.yaml/b", Kind.ABSENT),
        ("../nowhere-at-all", Kind.ABSENT),
        ("/no/such/thing", Kind.ABSENT),
    ],
)
def test_what_stands_at_a_path(place: Files, path: str, kind: Kind) -> None:
    assert place.kind(path) is kind


def test_the_manifests_of_a_directory_are_sorted_and_those_below_it_among_them(place: Files) -> None:
    assert place.below("k8s") == ["k8s/.hidden.yaml", "k8s/a.json", "k8s/b.yaml", "k8s/c.yml", "k8s/deep/er/z.yaml"]
    assert place.below("k8s/") == place.below("k8s")
    assert place.below("./k8s/deep") == ["./k8s/deep/er/z.yaml"]
    assert place.below(".")[-1] == "./model.yaml"


def test_a_text_comes_without_its_byte_order_mark(place: Files) -> None:
    assert place.text("k8s/a.json") == "a"


def test_a_text_that_is_not_there_is_told(place: Files) -> None:
    with pytest.raises(UnreadableError, match=r"none\.yaml (does not exist|can't be read: No such file or directory)"):
        place.text("none.yaml")


def test_a_file_that_is_too_large_is_not_read(place: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 4)

    with pytest.raises(UnreadableError, match=r"model\.yaml is larger than"):
        place.text("model.yaml")


def test_a_directory_of_too_many_manifests_is_told(place: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILES", 4)

    with pytest.raises(UnreadableError, match="k8s holds 5 manifests, more than 4"):
        place.below("k8s")


def test_a_directory_of_too_many_files_is_left_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = folder(tmp_path)
    monkeypatch.setattr(files, "MAX_SEEN", 4)

    with pytest.raises(UnreadableError, match="k8s holds more than 4 files and directories"):
        place.below("k8s")


def test_what_is_not_utf_8_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes("kind: Job".encode("utf-16"))

    with pytest.raises(UnreadableError, match=r"a\.yaml is not UTF-8 text"):
        Folder(tmp_path).text("a.yaml")
    with pytest.raises(UnreadableError, match=r"a\.yaml is not UTF-8 text"):
        Bundle({"a.yaml": "\ud800"}).text("a.yaml")


def test_a_file_name_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"a\xff.yaml")).write_text("")
    except OSError:
        pytest.skip("this file system takes only UTF-8")

    with pytest.raises(UnreadableError, match="holds a file whose name is not UTF-8"):
        Folder(tmp_path).below(".")


def test_a_directory_with_the_name_of_a_manifest_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").mkdir()
    (tmp_path / "x.yaml" / "a.yaml").write_text("")
    place = Folder(tmp_path)

    assert place.kind("x.yaml") is Kind.DIRECTORY
    assert place.below(".") == ["./x.yaml/a.yaml"]


def test_links_are_followed_but_not_round_and_round(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "a.yaml").write_text("")
    (tmp_path / "real" / "deep" / "up").symlink_to("../..", target_is_directory=True)
    (tmp_path / "real" / "self.yaml").symlink_to("self.yaml")
    (tmp_path / "real" / "b.yaml").symlink_to("a.yaml")
    (tmp_path / "linked").symlink_to("real", target_is_directory=True)

    found = Folder(tmp_path).below("linked")

    assert {"linked/a.yaml", "linked/b.yaml", "linked/self.yaml"} <= set(found)
    assert len(found) < 10
    with pytest.raises(UnreadableError, match="Too many levels of symbolic links"):
        Folder(tmp_path).text("linked/self.yaml")


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "..2024_01_31").mkdir()
    (tmp_path / "..2024_01_31" / "a.yaml").write_text("")
    (tmp_path / "..data").symlink_to("..2024_01_31", target_is_directory=True)
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")

    assert Folder(tmp_path).below(".") == ["./a.yaml"]


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    place = Folder(tmp_path)

    assert place.kind("a.yaml") is Kind.OTHER
    with pytest.raises(UnreadableError, match="is not a file"):
        place.text("a.yaml")


def test_what_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "k8s").mkdir()
    (tmp_path / "k8s" / "a.yaml").write_text("")

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.os, "open", refuse)
    monkeypatch.setattr(files.os, "scandir", refuse)
    text = json.dumps({"jobernetes": [{"phase_name": "p", "jobs": [
        {"name": "one", "job_path": "k8s/a.yaml"}, {"name": "many", "type": "directory", "job_path": "k8s"},
    ]}]})  # fmt: skip

    class Mixed(Folder):
        def text(self, path: str) -> str:
            return text if path == "model.json" else super().text(path)

    _, findings = read(Mixed(tmp_path), "model.json")

    assert [str(finding) for finding in findings] == [
        "k8s/a.yaml: phase p, entry one: can't be read: Permission denied.",
        "model.json:1: phase p, entry many: k8s can't be read: Permission denied.",
    ]


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "\ud800", "a\nb"])
def test_a_path_that_no_system_takes_is_a_finding(tmp_path: Path, path: str) -> None:
    text = json.dumps({"jobernetes": [{"phase_name": "p", "jobs": [{"name": "e", "job_path": path}]}]})
    (tmp_path / "m.json").write_text(text)

    for place in (Folder(tmp_path), Bundle({"m.json": text})):
        model, findings = read(place, "m.json")
        assert model is None
        assert len(findings) == 1
        assert len(str(findings[0])) < 300
        assert str(findings[0]).isprintable()


def test_a_bundle_knows_only_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("secret")

    for path in (str(tmp_path / "secret.yaml"), "/etc/passwd", "../../../../etc/passwd", "k8s/../../x"):
        assert Bundle(TEXTS).kind(path) is Kind.ABSENT
        with pytest.raises(UnreadableError):
            Bundle(TEXTS).text(path)


_NAMES = st.sampled_from(["a", "b.yaml", "c.json", "..", ".", "..x", "", ".d.yml", "e f.yaml"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map("/".join)


@given(st.dictionaries(_PATHS, st.just(json.dumps(manifest("a"))), max_size=6), _PATHS)
def test_any_bundle_answers_any_question(texts: dict[str, str], path: str) -> None:
    place = Bundle(texts)

    kind = place.kind(path)

    assert kind in (Kind.FILE, Kind.DIRECTORY, Kind.ABSENT)
    assert all(place.kind(one) is Kind.FILE and place.text(one) for one in place.below(path))


def test_a_deep_path_in_a_bundle_costs_no_more_than_its_length() -> None:
    deep = "a/" * 4000 + "x.yaml"
    tracemalloc.start()
    try:
        place = Bundle({deep: ""})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 2**20
    assert place.kind("a/a/a") is Kind.DIRECTORY
    for ask in (place.kind, place.below):
        with pytest.raises(UnreadableError, match="longer than 1,024 characters"):
            ask(deep if ask == place.kind else "a")


def test_what_is_looked_through_in_a_bundle_is_bounded_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_SEEN", 5)
    place = Bundle({f"d/{number}.txt": "" for number in range(3)})

    assert place.below("d") == []
    with pytest.raises(UnreadableError, match="hold more than 5 files"):
        place.below("./d")
