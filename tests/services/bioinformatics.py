"""bowtie2, samtools and bcftools with Debian's example reads: a second real workflow, and the same by hand."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.services.providing import missing

EXAMPLE_DATA = Path("/usr/share/doc/bowtie2/examples")
PIPELINE = """
set -o pipefail
gzip -dc {data}/reference/lambda_virus.fa.gz > genome.fa
bowtie2-build --quiet genome.fa genome
bowtie2 -x genome -1 {data}/reads/reads_1.fq.gz -2 {data}/reads/reads_2.fq.gz \\
  --rg-id lambda --rg SM:lambda --no-unal 2> summary.txt |
  samtools sort -o sorted.bam -
bcftools mpileup --output-type u --fasta-ref genome.fa sorted.bam |
  bcftools call -mv --ploidy 1 --output-type v -o called.vcf
"""
"""What a person types for it, with pipes where the workflow has files."""


def need_tools() -> None:
    """Skips the test, or fails it, where a tool or the data is not to be had."""
    if not all(map(shutil.which, ("bowtie2", "samtools", "bcftools"))) or not EXAMPLE_DATA.is_dir():
        missing("bioinformatics", "apt-get install bowtie2 bowtie2-examples samtools bcftools")


def run_by_hand(folder: Path) -> None:
    """Leave genome.fa, sorted.bam, called.vcf and summary.txt in ``folder``."""
    script = PIPELINE.format(data=EXAMPLE_DATA)
    subprocess.run(["bash", "-ec", script], cwd=folder, capture_output=True, timeout=90, check=True)


def records(*command: str | Path) -> list[str]:
    """What ``samtools view`` or ``bcftools view -H`` prints: records without headers."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()
