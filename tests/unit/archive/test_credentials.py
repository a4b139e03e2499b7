"""The mounted credential reaches the library that can read it, and no other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lando.credentials import MOUNTED, use_mounted_credential

GOOGLE, AWS = "GOOGLE_APPLICATION_CREDENTIALS", "AWS_SHARED_CREDENTIALS_FILE"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"type": "service_account"}', GOOGLE),
        ("\n[default]\naws_access_key_id = x\n", AWS),
        ("url: https://dds.example.org\nagent_key: x\n", None),
        ("", None),
    ],
)
def test_what_the_file_holds_tells_whose_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, expected: str | None
) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    monkeypatch.setattr(os, "environ", {MOUNTED: str(path)})
    use_mounted_credential()
    assert {name: os.environ[name] for name in (GOOGLE, AWS) if name in os.environ} == (
        {expected: str(path)} if expected else {}
    )


def test_the_environment_goes_first_and_a_missing_file_is_fine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("{}")
    monkeypatch.setattr(os, "environ", {MOUNTED: str(tmp_path / "config"), GOOGLE: "/mine"})
    use_mounted_credential()
    assert os.environ[GOOGLE] == "/mine"
    monkeypatch.setattr(os, "environ", {MOUNTED: str(tmp_path / "nothing")})
    use_mounted_credential()
    assert os.environ == {MOUNTED: str(tmp_path / "nothing")}
