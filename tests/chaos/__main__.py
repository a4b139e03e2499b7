"""``python -m tests.chaos``: jobs on a site of real processes while all that can fail does; then the accounting."""

from __future__ import annotations

import argparse
import json
import logging
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos import report, trial
from tests.chaos.faults import FAKETIME, FAULTS


def main() -> int:
    """Exit status 0 when the promise was kept, 1 when not; then the folder with all logs stays."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=200, help="default: 200")
    parser.add_argument("--seed", type=int, help="strikes as an earlier run did; drawn and printed when not given")
    parser.add_argument("--rounds", type=int, help="how often each fault strikes (default: jobs / 40, at least once)")
    parser.add_argument("--fault", action="append", choices=sorted(FAULTS), help="only this one; may be repeated")
    parser.add_argument("--pace", type=float, default=1.0, help="0.5 halves pauses and lengths of faults (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    folder = Path(tempfile.mkdtemp(prefix="lando-chaos-"))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    if FAKETIME is None:
        print("no clock jumps: apt install libfaketime", file=sys.stderr)
    print(f"seed {seed}, logs in {folder}", file=sys.stderr, flush=True)
    result = trial.run(
        folder,
        jobs=options.jobs,
        seed=seed,
        rounds=options.rounds or max(options.jobs // 40, 1),
        names=options.fault or (),
        pace=options.pace,
    )
    print(json.dumps(result.as_json(), indent=2) if options.json else report.table(result))
    if result.violations:
        print(f"The promise was broken; the logs are in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
