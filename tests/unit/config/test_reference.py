"""The page about settings, the sample file and the code say the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from lando.config import read, settings
from lando.config.reference import field_texts, pages

ROOT = Path(__file__).parents[3]
CLASSES = [one for one in vars(settings).values() if isinstance(one, type) and dataclasses.is_dataclass(one)]


def test_the_page_is_what_the_code_says() -> None:
    written = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == "".join(f"{line}\n" for line in pages()), (
        "renew it: python -m lando.config > docs/configuration.md"
    )


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: str(cls.__name__))
def test_every_setting_that_is_no_block_of_settings_has_its_text(cls: type) -> None:
    blocks = {one.__name__ for one in CLASSES}
    texts = field_texts(cls)
    for field in dataclasses.fields(cls):
        is_block = str(field.type).removesuffix(" | None") in blocks
        assert is_block or texts.get(field.name, "").endswith((".", ")")), f"{cls.__name__}.{field.name}"


def test_the_sample_has_only_known_keys_and_says_todo_where_a_site_must_fill_in() -> None:
    reading = read(ROOT / "k8s.config.sample", environ={})
    assert not reading.unknown_keys
    assert reading.errors
    assert all("still says TODO" in error.sentence for error in reading.errors)


def test_the_sample_filled_in_can_be_used(tmp_path: Path) -> None:
    sample = (ROOT / "k8s.config.sample").read_text(encoding="utf-8")
    sample = sample.replace("  url: TODO", "  url: https://bespin.example.org/api/v2")
    sample = sample.replace("cluster_api_settings:\n  host: TODO", "cluster_api_settings:\n  host: https://cluster")
    path = tmp_path / "k8s.config"
    path.write_text(sample.replace("TODO", "x"), encoding="utf-8")
    reading = read(path, environ={})
    assert reading.errors == ()
    assert reading.config is not None
