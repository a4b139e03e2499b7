"""``python -m lando_util.upload COMMAND_FILE OUTFILE``: leaves the shell line that annotates a pod with the ids."""

import json
import shutil
import sys
from pathlib import Path

from lando_util import PROJECT_ID, README_ID, command_file, exactly, storage


def main() -> None:
    _program, _file, outfile = sys.argv
    command = exactly(
        command_file("saveoutput.json"), {"destination", "readme_file_path", "paths", "share", "activity"}
    )
    exactly(command["share"], {"dds_user_ids"}, frozenset({"auth_role", "user_message"}))
    activity = exactly(
        command["activity"],
        {
            "name", "description", "started_on", "ended_on", "input_file_versions_json_path",
            "workflow_output_json_path",
        },
    )  # fmt: skip
    project = storage() / "projects" / command["destination"]
    for path in map(Path, command["paths"]):
        shutil.copytree(path, project / path.name, dirs_exist_ok=True)
    if not (project / command["readme_file_path"]).is_file():
        sys.exit("no readme")
    if Path.cwd().name != "results":
        sys.exit(f"works in {Path.cwd()}")
    used = json.loads(Path(activity["input_file_versions_json_path"]).read_text())["items"]
    told = {"share": command["share"], "used": [item["current_version"]["id"] for item in used]}
    (project / "told.json").write_text(json.dumps(told))
    ids = f"project_id={PROJECT_ID} readme_file_id={README_ID}"
    Path(outfile).write_text(f"oc annotate pod $MY_POD_NAME {ids}\n")


if __name__ == "__main__":
    main()
