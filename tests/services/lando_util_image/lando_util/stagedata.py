"""``python -m lando_util.stagedata COMMAND_FILE METADATA_FILE``."""

import json
import shutil
import sys
import urllib.request
from pathlib import Path

from lando_util import command_file, exactly, storage


def main() -> None:
    _program, _file, metadata = sys.argv
    records = []
    for item in exactly(command_file("stagedata.json"), {"items"})["items"]:
        exactly(item, {"type", "source", "dest"}, frozenset({"unzip_to"}))
        dest = Path(item["dest"])
        dest.parent.mkdir(parents=True, exist_ok=True)
        match item["type"]:
            case "url":
                with urllib.request.urlopen(item["source"], timeout=30) as source, dest.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
            case "write":
                dest.write_text(item["source"])
            case "DukeDS":
                shutil.copyfile(storage() / item["source"], dest)
                records.append({"id": item["source"], "current_version": {"id": f"version-of-{item['source']}"}})
            case other:
                sys.exit(f"unknown type {other}")
        print(f"staged {dest}")
    Path(metadata).write_text(json.dumps({"items": records}))


if __name__ == "__main__":
    main()
