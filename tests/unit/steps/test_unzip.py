"""Archives that somebody else made are unpacked inside their folder or not at all."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from lando.errors import InputError, StepError
from lando.runs import Category
from lando.steps import unzip as unzip_module
from lando.steps.unzip import unzip


def archive(folder: Path, entries: dict[str, bytes], modes: dict[str, int] | None = None) -> Path:
    path = folder / "flow.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in entries.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (modes or {}).get(name, stat.S_IFREG | 0o644) << 16
            opened.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


def test_files_and_folders_are_unpacked_and_counted(tmp_path: Path) -> None:
    path = archive(tmp_path, {"flow/main.cwl": b"main", "flow/tools/a.cwl": b"a"})
    assert unzip(path, tmp_path / "out") == 2
    assert (tmp_path / "out/flow/tools/a.cwl").read_bytes() == b"a"


def test_unpacking_again_overwrites(tmp_path: Path) -> None:
    unzip(archive(tmp_path, {"main.cwl": b"a long first version"}), tmp_path / "out")
    unzip(archive(tmp_path, {"main.cwl": b"second"}), tmp_path / "out")
    assert (tmp_path / "out/main.cwl").read_bytes() == b"second"


def test_programs_stay_executable_and_nothing_gets_more_rights(tmp_path: Path) -> None:
    modes = {"run.sh": stat.S_IFREG | 0o755, "data": stat.S_IFREG | 0o666, "setuid": stat.S_IFREG | 0o4755}
    unzip(archive(tmp_path, dict.fromkeys(modes, b"x"), modes), tmp_path / "out")
    found = {name: stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) for name in modes}
    assert found == {"run.sh": 0o755, "data": 0o644, "setuid": 0o755}


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "..\\evil", "C:/evil"])
def test_an_entry_that_leads_outside_refuses_the_whole_archive(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path, {"good": b"good", name: b"evil"})
    with pytest.raises(InputError, match="outside its folder"):
        unzip(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644, stat.S_IFCHR | 0o644])
def test_links_and_devices_are_refused(tmp_path: Path, mode: int) -> None:
    path = archive(tmp_path, {"link": b"/etc/passwd"}, {"link": mode})
    with pytest.raises(InputError, match="'link' is a link or a device"):
        unzip(path, tmp_path / "out")


def test_nothing_is_written_through_a_link_that_is_there_already(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/sub").symlink_to(outside)
    with pytest.raises(InputError, match="through a link"):
        unzip(archive(tmp_path, {"sub/file": b"x"}), tmp_path / "out")
    assert list(outside.iterdir()) == []


def test_a_bomb_is_refused_before_anything_is_unpacked(tmp_path: Path) -> None:
    path = archive(tmp_path, {"zeros": bytes(5_000_000)})
    assert path.stat().st_size < 10_000
    with pytest.raises(InputError, match="takes 5000000 bytes, and 1000000 is the most"):
        unzip(path, tmp_path / "out", max_bytes=1_000_000)
    assert not (tmp_path / "out").exists()


def test_a_full_volume_is_a_matter_of_resources_and_what_is_there_already_takes_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path, {"big": bytes(5000), "small": b"x"})
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=4000))
    with pytest.raises(StepError, match="takes 5001 bytes, and the volume has room for 4000") as failed:
        unzip(path, tmp_path / "out")
    assert failed.value.cause.category is Category.RESOURCES
    (tmp_path / "out").mkdir()
    (tmp_path / "out/big").write_bytes(bytes(4900))  # as an attempt that was killed leaves it
    assert unzip(path, tmp_path / "out") == 2


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["a", "a/b"], "entry 'a' is a file and a folder"),
        (["a/b", "a"], "entry 'a' is a file and a folder"),
        (["a", "a/"], "holds 'a/' twice"),
        (["x" * 256], "has too long a name"),
        (["ä" * 128], "has too long a name"),
        (["flow.zip"], "would take its own place"),
    ],
)
def test_entries_that_can_t_all_be_there_refuse_the_archive(tmp_path: Path, names: list[str], sentence: str) -> None:
    modes = {name: stat.S_IFDIR | 0o755 for name in names if name.endswith("/")}
    with pytest.raises(InputError, match=sentence):
        unzip(archive(tmp_path, dict.fromkeys(names, b""), modes), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["flow.zip"]


def test_the_folder_itself_may_be_an_entry_and_case_counts(tmp_path: Path) -> None:
    path = archive(tmp_path, {"./": b"", "Main.cwl": b"A", "main.cwl": b"a"}, {"./": stat.S_IFDIR | 0o755})
    assert unzip(path, tmp_path / "out") == 2
    assert (tmp_path / "out/main.cwl").read_bytes() == b"a"


def test_too_many_entries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unzip_module, "ENTRIES_LIMIT", 3)
    with pytest.raises(InputError, match="holds 4 entries; 3 is the most"):
        unzip(archive(tmp_path, {str(number): b"" for number in range(4)}), tmp_path / "out")


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("main.cwl", b"shown")
        with pytest.warns(UserWarning, match="Duplicate name"):
            opened.writestr("main.cwl", b"run")
    with pytest.raises(InputError, match=r"holds 'main\.cwl' twice"):
        unzip(path, tmp_path / "out")


def test_what_is_no_archive_or_damaged_gives_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "flow.zip"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match=r"flow\.zip can't be unpacked: File is not a zip file\."):
        unzip(path, tmp_path / "out")
    data = bytearray(archive(tmp_path, {"a": b"abc" * 1000}).read_bytes())
    data[40] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"flow\.zip can't be unpacked"):
        unzip(path, tmp_path / "out")


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    data = bytearray(archive(tmp_path, {"a": b"abc"}).read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 1
    path = tmp_path / "secret.zip"
    path.write_bytes(data)
    with pytest.raises(InputError, match="'a' is encrypted"):
        unzip(path, tmp_path / "out")
