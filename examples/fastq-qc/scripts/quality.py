"""Measure the quality of the reads in one FASTQ file (plain or gzip'ed) and write the numbers as JSON.

usage: quality.py READS OUTPUT
"""

import gzip
import json
import os
import sys

OFFSET = 33  # Phred+33, as in every FASTQ file since Illumina 1.8
HIGHEST = 93  # the highest score that Phred+33 can write


def records(path):
    """Sequence and quality line of each record; ends the program with a sentence at the first broken one."""
    with open(path, "rb") as probe:
        packed = probe.read(2) == b"\x1f\x8b"
    with (gzip.open if packed else open)(path, "rt", encoding="ascii") as lines:
        number = 0
        while True:
            header = lines.readline()
            number += 1
            if not header.strip():
                return
            sequence, plus, quality = (lines.readline().rstrip("\r\n") for _ in range(3))
            if not header.startswith("@"):
                sys.exit(f"{path}, line {number}: expected a header that starts with @, found {header[:20]!r}")
            if not plus.startswith("+") or len(sequence) != len(quality) or not sequence:
                sys.exit(f"{path}, line {number}: the record {header[:40].strip()!r} is cut short or damaged")
            number += 3
            yield sequence.upper(), quality


def quantile(counts, share):
    """The score below which ``share`` of the counted bases lie."""
    wanted, seen = share * sum(counts), 0
    for score, count in enumerate(counts):
        seen += count
        if seen >= wanted:
            return score
    return len(counts) - 1


def measure(path):
    """Every number of one file."""
    reads = gc = unknown = 0
    lengths, gc_of_reads, by_position = {}, [0] * 101, []
    for sequence, quality in records(path):
        reads += 1
        length = len(sequence)
        lengths[length] = lengths.get(length, 0) + 1
        missing = sequence.count("N")
        unknown += missing
        strong = sequence.count("G") + sequence.count("C")
        gc += strong
        if length > missing:
            gc_of_reads[round(100 * strong / (length - missing))] += 1
        while len(by_position) < length:
            by_position.append([0] * (HIGHEST + 1))
        for position, letter in enumerate(quality):
            by_position[position][ord(letter) - OFFSET] += 1
    if not reads:
        sys.exit(f"{path}: no reads in it")
    overall = [sum(counts) for counts in zip(*by_position, strict=True)]
    bases = sum(overall)
    return {
        "file": os.path.basename(path),
        "reads": reads,
        "bases": bases,
        "mean_length": bases / reads,
        "longest": max(lengths),
        "mean_quality": sum(score * count for score, count in enumerate(overall)) / bases,
        "q20": sum(overall[20:]) / bases,
        "q30": sum(overall[30:]) / bases,
        "gc": gc / max(bases - unknown, 1),
        "n": unknown / bases,
        "lengths": sorted(lengths.items()),
        "gc_of_reads": gc_of_reads,
        "positions": [
            {
                "reads": sum(counts),
                "mean": round(sum(score * count for score, count in enumerate(counts)) / sum(counts), 3),
                "q25": quantile(counts, 0.25),
                "median": quantile(counts, 0.5),
                "q75": quantile(counts, 0.75),
            }
            for counts in by_position
        ],
    }


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[2], "w", encoding="utf-8") as output:
        json.dump(measure(sys.argv[1]), output)
