"""Which program of this machine stands for an image."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from lando.local.node.images import Image, ImagePullError, ImageTable, base_environment


@pytest.mark.parametrize("name", ["lando-steps:local", "lando-steps:1.0", "lando:edge", "lando-steps"])
def test_the_step_images_are_this_installation(name: str) -> None:
    image = ImageTable().resolve(name, has_command=True)
    assert image.env["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert image.env["PYTHONUNBUFFERED"] == "1"


def test_an_unknown_image_needs_a_command() -> None:
    assert ImageTable().resolve("acme/tool:1", has_command=True) == Image(pattern="acme/tool:1")
    with pytest.raises(ImagePullError, match=r"acme/tool:1.*the image table"):
        ImageTable().resolve("acme/tool:1", has_command=False)


@pytest.mark.parametrize(
    "name", ["busybox", "alpine:3.20", "registry.example/ubuntu", "registry.example/mirror/library/debian@sha256:0"]
)
def test_arguments_are_enough_for_a_base_image(name: str) -> None:
    assert ImageTable().resolve(name, has_command=False, has_args=True) == Image(pattern=name)
    with pytest.raises(ImagePullError):
        ImageTable().resolve(name, has_command=False)


@pytest.mark.parametrize("name", ["acme/busybox", "busybox-plus", "acme/tool:1"])
def test_arguments_are_not_enough_for_an_image_that_may_have_an_entry_point(name: str) -> None:
    with pytest.raises(ImagePullError):
        ImageTable().resolve(name, has_command=False, has_args=True)


def test_a_known_image_without_a_command_says_so() -> None:
    with pytest.raises(ImagePullError, match=r"lando-steps:local.*no command"):
        ImageTable().resolve("lando-steps:local", has_command=False)


def test_the_first_fitting_entry_of_the_file_wins_and_goes_before_the_built_in(tmp_path: Path) -> None:
    path = tmp_path / "images.yaml"
    path.write_text(
        "images:\n"
        "  - {pattern: 'registry.example/*/samtools:*', command: [samtools], env: {T: '2'}}\n"
        "  - {pattern: 'registry.example/*', command: [other]}\n"
        "  - {pattern: 'lando-steps:*', command: [mine]}\n",
        encoding="utf-8",
    )
    table = ImageTable(path)
    found = table.resolve("registry.example/bio/samtools:1.9", has_command=False)
    assert (found.command, found.env) == (("samtools",), {"T": "2"})
    assert table.resolve("registry.example/x", has_command=False).command == ("other",)
    assert table.resolve("lando-steps:local", has_command=False).command == ("mine",)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "images.yaml"
    table = ImageTable(path)
    with pytest.raises(ImagePullError, match=r"images\.yaml"):
        table.resolve("tool", has_command=False)
    path.write_text("images: [{pattern: tool, command: [one]}]", encoding="utf-8")
    assert table.resolve("tool", has_command=False).command == ("one",)
    path.write_text("images: [{pattern: tool, command: [two]}]", encoding="utf-8")
    os.utime(path, ns=(1, 1))
    assert table.resolve("tool", has_command=False).command == ("two",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("images: {a: b}", "expected a list under the key images"),
        ("- a", "expected a list under the key images"),
        ("images: [{command: [a]}]", r"images\[0\] needs a pattern"),
        ("images: [{pattern: a, comand: [a]}]", "unknown key comand"),
        ("images: [{pattern: a, command: a}]", "command must be a list of strings"),
        ("images: [{pattern: a, env: {A: 1}}]", "env must map names to strings"),
        ("images: [", "can't be read as YAML"),
    ],
)
def test_a_broken_file_is_told_with_the_entry_at_fault(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "images.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ImagePullError, match=words):
        ImageTable(path).resolve("tool", has_command=True)


def test_only_listed_variables_of_this_process_are_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    env = base_environment(Image(pattern="a", env={"LANG": "own"}), "pod-1")
    assert env["LANG"] == "own"
    assert env["HOSTNAME"] == "pod-1"
    assert "AWS_SECRET_ACCESS_KEY" not in env
