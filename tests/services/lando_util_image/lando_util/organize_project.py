"""``python -m lando_util.organize_project COMMAND_FILE``."""

import json
import shutil
import sys
from pathlib import Path

from lando_util import command_file, exactly


def main() -> None:
    _program, _file = sys.argv
    command = exactly(
        command_file("organizeoutput.json"),
        {
            "bespin_job_id", "destination_dir", "downloaded_workflow_path", "workflow_to_read", "workflow_type",
            "job_order_path", "bespin_workflow_stdout_path", "bespin_workflow_stderr_path", "methods_template",
            "additional_log_files",
        },
        frozenset({"bespin_workflow_started", "bespin_workflow_finished"}),
    )  # fmt: skip
    docs = Path(command["destination_dir"]) / "docs"
    for folder, names in {
        "scripts": [command["workflow_to_read"], command["job_order_path"]],
        "logs": [
            command["bespin_workflow_stdout_path"],
            command["bespin_workflow_stderr_path"],
            *command["additional_log_files"],
        ],
    }.items():
        (docs / folder).mkdir(parents=True)
        for name in names:
            shutil.copy(name, docs / folder)
    (docs / "logs/job-data.json").write_text(json.dumps({"id": command["bespin_job_id"]}))
    (docs / "README.md").write_text(f"# Job {command['bespin_job_id']}\n")


if __name__ == "__main__":
    main()
