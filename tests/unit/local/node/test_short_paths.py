"""Names without blanks for homes that have some."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from lando.errors import ConfigError
from lando.local.node.short_paths import ShortPaths


@pytest.fixture
def awkward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with blanks, and a temporary folder of the test's own."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    home = tmp_path / "My Runs ü"
    home.mkdir()
    return home


def test_a_plain_home_keeps_its_name(tmp_path: Path) -> None:
    assert ShortPaths(tmp_path).of(tmp_path / "a") == tmp_path / "a"


def test_a_home_with_blanks_gets_a_name_without(awkward: Path) -> None:
    (awkward / "f").write_text("same file")
    short = ShortPaths(awkward).of(awkward / "f")
    assert " " not in str(short)
    assert str(short).isascii()
    assert short.read_text() == "same file"


def test_the_name_is_the_same_in_the_next_life_and_another_one_for_another_home(awkward: Path) -> None:
    first = ShortPaths(awkward)
    name = first.of(awkward / "f")
    assert ShortPaths(awkward).of(awkward / "f") == name
    first.remove()
    assert not name.parent.parent.exists()
    assert ShortPaths(awkward).of(awkward / "f") == name
    other = awkward.with_name("Other Runs")
    assert ShortPaths(other).of(other / "f") != name


def test_a_name_that_was_tidied_away_is_made_again(awkward: Path) -> None:
    short = ShortPaths(awkward)
    short.remove()
    assert short.of(awkward).is_dir()


def test_what_is_not_below_the_home_keeps_its_name(awkward: Path) -> None:
    assert ShortPaths(awkward).of(Path("/etc/my file")) == Path("/etc/my file")


def test_a_folder_that_others_can_use_is_not_trusted(awkward: Path) -> None:
    own = ShortPaths(awkward).of(awkward).parent
    own.chmod(0o755)
    with pytest.raises(ConfigError, match="a folder only this user can use"):
        ShortPaths(awkward)


def test_a_link_put_in_the_folders_place_is_not_followed(awkward: Path, tmp_path: Path) -> None:
    short = ShortPaths(awkward)
    own = short.of(awkward).parent
    short.remove()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    own.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="a folder only this user can use"):
        ShortPaths(awkward)


def test_a_link_that_leads_elsewhere_is_refused(awkward: Path) -> None:
    link = ShortPaths(awkward).of(awkward)
    link.unlink()
    link.symlink_to("/etc")
    with pytest.raises(ConfigError, match="must be a symbolic link to"):
        ShortPaths(awkward)
