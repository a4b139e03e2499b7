"""``oc annotate pod NAME KEY=VALUE…`` (and kubectl's), with the cluster that the image's environment names."""

import json
import os
import ssl
import sys
import urllib.request
from pathlib import Path


def main() -> None:
    _program, verb, kind, pod, *notes = sys.argv
    if (verb, kind) != ("annotate", "pod") or not notes:
        sys.exit(f"unknown command {sys.argv[1:]}")
    request = urllib.request.Request(
        f"{os.environ['CLUSTER_URL']}/pods/{pod}",
        method="PATCH",
        data=json.dumps({"metadata": {"annotations": dict(note.split("=", 1) for note in notes)}}).encode(),
        headers={
            "Authorization": f"Bearer {Path(os.environ['CLUSTER_TOKEN_FILE']).read_text().strip()}",
            "Content-Type": "application/merge-patch+json",
        },
    )
    context = ssl.create_default_context(cafile=os.environ["CLUSTER_CA"])
    with urllib.request.urlopen(request, timeout=30, context=context) as answer:
        print(f"pod/{pod} annotated ({answer.status})")


if __name__ == "__main__":
    main()
