"""Workflows and job orders on disk."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

WORKFLOW = """\
cwlVersion: v1.2
class: Workflow
requirements:
  - class: SchemaDefRequirement
    types:
      - name: Sample
        type: record
        fields:
          - {name: id, type: string}
          - {name: reads, type: File}
inputs:
  threads: int
  reads:
    type: File[]
    secondaryFiles: [{pattern: ^.idx, required: true}, {pattern: .md5, required: false}]
  mode:
    type: {type: enum, symbols: [fast, slow]}
    default: fast
  ratio: float?
  sample: ["null", "#Sample"]
  folder: Directory?
outputs: []
steps: []
"""


class Folder:
    """A folder of test files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, text: str = "") -> Path:
        """Write ``text`` to ``name``, making its folders."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(dedent(text), encoding="utf-8")
        return target

    def workflow(self, text: str = WORKFLOW) -> Path:
        """Write the workflow."""
        return self.write("qc.cwl", text)

    def order(self, text: str) -> Path:
        """Write the job order."""
        return self.write("order.yml", text)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)
