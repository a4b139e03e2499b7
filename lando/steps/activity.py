"""The record of what a job did: what it used, what it generated, when. It lies beside the results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lando.steps.output_object import output_files
from lando.steps.program import log
from lando.stores.transfer import Uploaded


@dataclass(frozen=True, kw_only=True)
class Activity:
    """The command file's ``activity``."""

    name: str
    description: str
    started_on: str
    """ISO 8601, or "" where nobody knows."""
    ended_on: str
    inputs_file: Path | None
    """What stage_data recorded of the inputs."""
    outputs_file: Path | None
    """The runner's output object."""

    @classmethod
    def read(cls, activity: dict[str, Any], title: str) -> Activity:
        """An activity that names nothing gets the job's title."""
        inputs = activity.get("input_file_versions_json_path")
        outputs = activity.get("workflow_output_json_path")
        return cls(
            name=str(activity.get("name") or title),
            description=str(activity.get("description") or ""),
            started_on=str(activity.get("started_on") or ""),
            ended_on=str(activity.get("ended_on") or ""),
            inputs_file=Path(inputs) if inputs else None,
            outputs_file=Path(outputs) if outputs else None,
        )

    def with_times_of(self, report_numbers: Path) -> Activity:
        """With the workflow's times from the report's ``job-data.json``, where the command says none."""
        if (self.started_on and self.ended_on) or not report_numbers.is_file():
            return self
        told = _read_json(report_numbers)
        if not isinstance(told, dict) or not (told.get("started") and told.get("finished")):
            return self
        return replace(self, started_on=str(told["started"]), ended_on=str(told["finished"]))

    def begun(self, title: str, files: Sequence[str]) -> dict[str, Any]:
        """The record while the upload goes on: ``files`` are those of this and earlier attempts."""
        return {**self._head(title), "complete": False, "files": list(files)}

    def done(self, title: str, saved: Sequence[Uploaded], paths: Sequence[Path]) -> dict[str, Any]:
        """The record of a complete upload of the local ``paths``."""
        outputs = self._outputs(paths)
        return {
            **self._head(title),
            "complete": True,
            "files": [file.path for file in saved],
            "used": self._used(),
            "generated": [
                {
                    "path": file.path,
                    "url": file.url,
                    "size": file.size,
                    "sha256": file.sha256,
                    "output": outputs.get(file.path),
                }
                for file in saved
            ],
        }

    def _head(self, title: str) -> dict[str, Any]:
        return {
            "project": title,
            "name": self.name,
            "description": self.description,
            "started_on": self.started_on,
            "ended_on": self.ended_on,
        }

    def _outputs(self, paths: Sequence[Path]) -> dict[str, str]:
        """By path in the store: which output of the workflow a file is."""
        found = _read_json(self.outputs_file) if self.outputs_file is not None else None
        return {f"{path.name}/{file.path}": file.output for path in paths for file in output_files(found, path)}

    def _used(self) -> list[Any]:
        """The inputs: versions of storage files, then what came from URLs with size and SHA-256."""
        found = _read_json(self.inputs_file) if self.inputs_file is not None else None
        if not isinstance(found, dict):
            return []
        versions = [
            {"file": item.get("name"), "version_id": (item.get("current_version") or {}).get("id")}
            for item in found.get("items") or ()
            if isinstance(item, dict)
        ]
        return [*versions, *(found.get("files") or ())]


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        log(f"warning: {path.name} can't be read, so the record of the activity is without it ({error})")
        return None
