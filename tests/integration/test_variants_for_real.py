"""A second real workflow on a site of separate processes: reads are aligned, variants called, as by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from tests.services.bioinformatics import need_tools, records, run_by_hand
from tests.services.postgres import LocalPostgres
from tests.services.rabbitmq import RabbitMQ
from tests.services.stack import Stack
from tests.services.user import User

pytestmark = [
    pytest.mark.service("rabbitmq"),
    pytest.mark.service("postgres"),
    pytest.mark.service("bioinformatics"),
    pytest.mark.timeout(240),
]


@pytest.fixture
def stack(tmp_path: Path, rabbitmq: RabbitMQ, queue_name: str, postgres_server: LocalPostgres) -> Iterator[Stack]:
    need_tools()
    with Stack(tmp_path, rabbitmq.url, queue_name, database_url=postgres_server.url()) as running:
        running.start()
        yield running


def _saved(job: dict[str, Any]) -> Path:
    return Path(unquote(urlsplit(job["output_project"]["project_id"]).path)) / "results"


def test_the_variants_are_those_of_the_same_tools_run_by_hand(user: User, tmp_path: Path) -> None:
    job = user.create_job("variants")
    user.act(job, "start")
    by_hand = tmp_path / "by-hand"
    by_hand.mkdir()
    run_by_hand(by_hand)
    ended = user.wait_for_end(job)

    assert (ended["state"], ended["job_errors"]) == ("F", [])
    results = _saved(ended)
    variants = records("bcftools", "view", "--no-header", results / "variants.vcf.gz")
    assert len(variants) > 50
    assert variants == records("bcftools", "view", "--no-header", by_hand / "called.vcf")
    # Both indexes fit their files: what lies in a region is found by them.
    sequence = variants[0].split("\t")[0]
    region = f"{sequence}:10000-20000"
    some = records("bcftools", "view", "--no-header", "--regions", region, results / "variants.vcf.gz")
    assert some == [line for line in variants if 10_000 <= int(line.split("\t")[1]) <= 20_000]
    assert records("samtools", "view", results / "alignments.bam", region)
    aligned = records("samtools", "view", results / "alignments.bam")
    assert sorted(aligned) == sorted(records("samtools", "view", by_hand / "sorted.bam"))
    assert (results / "alignment-summary.txt").read_text() == (by_hand / "summary.txt").read_text()
    assert f"number of records:\t{len(variants)}" in (results / "variant-statistics.txt").read_text()
