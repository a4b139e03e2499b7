"""``calrissian FLAGS WORKFLOW JOB_ORDER``: takes the flags that lando appends; its "workflow" counts its inputs."""

import argparse
import json
import os
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="calrissian", allow_abbrev=False)
    for flag in ("cachedir", "outdir", "max-ram", "max-cores", "usage-report", "stdout", "stderr"):
        parser.add_argument(f"--{flag}", required=True)
    parser.add_argument("--debug", action="store_true")
    parser.add_argument("workflow")
    parser.add_argument("job_order")
    options = parser.parse_args()
    workflow, _hash, _main = options.workflow.partition("#")
    json.loads(Path(workflow).read_text())
    order = json.loads(Path(options.job_order).read_text())
    folder = Path(options.job_order).parent
    sizes = {name: (folder / value["path"]).stat().st_size for name, value in order.items()}
    result = Path(options.outdir) / "sizes.json"
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text(json.dumps(sizes))
    output = {"class": "File", "location": result.as_uri(), "basename": result.name, "size": result.stat().st_size}
    Path(options.stdout).write_text(json.dumps({"sizes": output}))
    Path(options.stderr).write_text(f"INFO of {os.environ['CALRISSIAN_POD_NAME']}\n")
    Path(options.usage_report).write_text(json.dumps({"cores_allowed": options.max_cores}))


if __name__ == "__main__":
    main()
