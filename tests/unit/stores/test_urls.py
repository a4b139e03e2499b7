"""URLs as they may be shown."""

from __future__ import annotations

import pytest
from lando.stores.urls import masked, without_query


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://x.org/a?expires=9&signature=abc", "https://x.org/a?expires=9&signature=***"),
        (
            "https://x.org/a?X-Amz-Signature=abc&X-Amz-Credential=d",
            "https://x.org/a?X-Amz-Signature=***&X-Amz-Credential=***",
        ),
        ("https://x.org/a?X-Amz-Security-Token=abc", "https://x.org/a?X-Amz-Security-Token=***"),
        ("https://x.org/a?sig=abc&sv=1", "https://x.org/a?sig=***&sv=1"),
        ("https://x.org/a?TOKEN=abc", "https://x.org/a?TOKEN=***"),
        ("https://x.org/a?access_token=abc&format=fastq", "https://x.org/a?access_token=***&format=fastq"),
        ("https://me:pass@x.org/a#part", "https://x.org/a"),
        ("https://x.org/design?designer=me&token", "https://x.org/design?designer=me&token"),
        ("file:///data/a.fq", "file:///data/a.fq"),
        ("http://[broken", "<not a URL>"),
    ],
)
def test_what_gives_access_is_masked_and_the_rest_stays(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_sentences_go_without_the_query() -> None:
    assert without_query("https://me:p@x.org/a/b.cwl?signature=abc#main") == "https://x.org/a/b.cwl"
