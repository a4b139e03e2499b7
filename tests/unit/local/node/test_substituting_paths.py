"""Mount paths in texts give way to real folders, at the borders of path names only."""

from __future__ import annotations

import gzip
import json

import pytest
from lando.local.node.substitution import PathSubstitution

PATHS = PathSubstitution({"/bespin/job-data": "/h/v1", "/bespin": "/h/v0", "/data": "/h/my files"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/bespin/job-data", "/h/v1"),
        ("/bespin/job-data/", "/h/v1/"),
        ("/bespin/job-data/workflow/x.cwl#main", "/h/v1/workflow/x.cwl#main"),
        ("/bespin/other", "/h/v0/other"),
        ("--in=/bespin/job-data/a", "--in=/h/v1/a"),
        ("a:/bespin/job-data:/bespin", "a:/h/v1:/h/v0"),
        ("'/bespin/job-data', \"/bespin/job-data\"", "'/h/v1', \"/h/v1\""),
        ("see /bespin/job-data.", "see /h/v1."),
        ("file:///bespin/job-data/a", "file:///h/v1/a"),
        ("file:///data/a", "file:///h/my%20files/a"),
        ("/data/a", "/h/my files/a"),
        ("/bespin/job-data2", "/h/v0/job-data2"),
        ("/bespin/job-data-old", "/h/v0/job-data-old"),
        ("/bespin/job-data.bak", "/h/v0/job-data.bak"),
        ("/data2", "/data2"),
        ("/more/data", "/more/data"),
        ("https://host/data", "https://host/data"),
        ("https:///data", "https:///data"),
        ("../data", "../data"),
        ("plain text", "plain text"),
    ],
)
def test_only_whole_path_names_are_replaced(text: str, expected: str) -> None:
    assert PATHS.text(text) == expected


def test_json_files_stay_json_even_with_a_path_inside_an_escaped_string() -> None:
    inner = json.dumps({"f": {"path": "/bespin/job-data/x", "note": "a\n/bespin/job-data"}})
    content = json.dumps({"items": [{"source": inner, "dest": "/bespin/job-data/order.json"}]}).encode()
    rewritten = json.loads(PATHS.content("stagedata.json", content))
    (item,) = rewritten["items"]
    assert item["dest"] == "/h/v1/order.json"
    assert json.loads(item["source"])["f"]["path"] == "/h/v1/x"


def test_a_line_break_in_a_json_string_is_no_part_of_the_name_after_it() -> None:
    content = json.dumps({"script": "cd\n/bespin/job-data"}).encode()
    assert json.loads(PATHS.content("a.json", content)) == {"script": "cd\n/h/v1"}


def test_folders_with_quotes_are_escaped_in_json() -> None:
    paths = PathSubstitution({"/data": '/h/"q"'})
    assert json.loads(paths.content("a.json", b'["/data/x"]')) == ['/h/"q"/x']
    assert paths.content("a.txt", b"/data/x") == b'/h/"q"/x'


def test_gzipped_files_are_rewritten_inside() -> None:
    packed = gzip.compress(b'{"dest": "/bespin/job-data/x"}')
    rewritten = PATHS.content("stagedata.json.gz", packed)
    assert gzip.decompress(rewritten) == b'{"dest": "/h/v1/x"}'


def test_what_is_no_text_stays_as_it_is() -> None:
    binary = b"\xff\xfe/bespin/job-data"
    assert PATHS.content("a.bin", binary) == binary
    assert PATHS.content("broken.gz", binary) == binary


def test_without_mounts_nothing_changes() -> None:
    assert PathSubstitution({}).text("/bespin/job-data") == "/bespin/job-data"
