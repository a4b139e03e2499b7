"""Whether the model would find a mistake: ``python -m tests.model.mutations`` makes some, one at a time, and looks.

Each mistake is a change of a copy of the package. Exit status 1 when one is not found.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One mistake: ``right`` stands once in ``file`` and becomes ``wrong``."""

    name: str
    file: str
    right: str
    wrong: str


CORE, TRANSITION, RETRIES = "decide/core.py", "decide/transition.py", "decide/retries.py"
PERFORM, DAEMON = "k8s/perform.py", "k8s/lando.py"

MUTATIONS = (
    Mutation(
        name="a Job is taken for the recorded one without its UID",
        file=TRANSITION,
        right="            return job.uid == record.uid\n",
        wrong="            return True\n",
    ),
    Mutation(
        name="a message is acknowledged before its effects",
        file=DAEMON,
        right="            self._engine.look(run_id, work.message)\n",
        wrong="            for delivery in work.deliveries:\n"
        "                delivery.ack()\n"
        "            self._engine.look(run_id, work.message)\n",
    ),
    Mutation(
        name="old objects are removed before the new state is written",
        file=TRANSITION,
        right="        actions = self.first + self.waiting + self.last + self._tidy()\n",
        wrong="        actions = self._tidy() + self.first + self.waiting + self.last\n",
    ),
    Mutation(
        name="the UID of a Job is not recorded",
        file=PERFORM,
        right="                    uid=uid(made),\n",
        wrong="                    uid=None,\n",
    ),
    Mutation(
        name="what is there already is not adopted",
        file=PERFORM,
        right="            made = self._adopt(manifest)\n",
        wrong="            raise\n",
    ),
    Mutation(
        name="retries are counted twice",
        file=RETRIES,
        right="retries=record.retries + 1)",
        wrong="retries=record.retries + 2)",
    ),
    Mutation(
        name="retries are not counted",
        file=RETRIES,
        right="retries=record.retries + 1)",
        wrong="retries=record.retries)",
    ),
    Mutation(
        name="a cause is not noted before the state says that there is one",
        file="decide/model.py",
        right="        NoteFailure(failure=failure),\n",
        wrong="",
    ),
    Mutation(
        name="a cause is told again without looking whether it was",
        file=CORE,
        right="ReportError(failure=failure, again=True)",
        wrong="ReportError(failure=failure)",
    ),
    Mutation(
        name="a restart does not wait for the old pods",
        file=CORE,
        right="            actions += [*delete(observed.objects), AwaitGone(refs=leftovers)]\n",
        wrong="            actions += delete(observed.objects)\n",
    ),
    Mutation(
        name="a retry does not wait for the old pods",
        file=TRANSITION,
        right="            before += self._await_gone(step.job)\n",
        wrong="",
    ),
    Mutation(
        name="writes are not guarded by the run's version",
        file="sources/bespin.py",
        right="if_match=run.version",
        wrong="if_match=None",
    ),
    Mutation(
        name="commands of a former generation count",
        file=CORE,
        right="message.generation < run.generation:",
        wrong="False:",
    ),
    Mutation(
        name="a cancel leaves the record and what it owns",
        file=CORE,
        right="    return delete(observed.objects) + _delete_record(observed)\n",
        wrong="    return delete(observed.objects)\n",
    ),
    Mutation(
        name="an outage is taken for the run's own failure",
        file=DAEMON,
        right="            if not self._is_suspect(run_id):\n",
        wrong="            if False:\n",
    ),
    Mutation(
        name="a message begins a run that waits for its turn",
        file=CORE,
        right="    if run.held and intent is not Intent.CANCEL:\n",
        wrong="    if False:\n",
    ),
)


def is_found(mutation: Mutation, examples: int, seed: int) -> bool:
    """Whether a search of so many histories ends with one that breaks the promise."""
    with tempfile.TemporaryDirectory(prefix="lando-mutation-") as folder:
        shutil.copytree(ROOT / "lando", Path(folder, "lando"))
        Path(folder, "tests").symlink_to(ROOT / "tests")
        file = Path(folder, "lando", mutation.file)
        text = file.read_text()
        if text.count(mutation.right) != 1:
            raise SystemExit(f"{mutation.name}: {mutation.right!r} does not stand once in {mutation.file}")
        file.write_text(text.replace(mutation.right, mutation.wrong))
        command = [sys.executable, "-m", "tests.model", "--first", f"--examples={examples}", f"--seed={seed}"]
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": folder}, capture_output=True, text=True, check=False
        )
        last = (done.stdout.strip() or done.stderr.strip()).splitlines()
        print(
            f"{'found' if done.returncode else 'MISSED':7s} {mutation.name}: {last[0][:120] if last else ''}",
            flush=True,
        )
        return done.returncode != 0


def main() -> int:
    """Exit status 0 when every mistake was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.model.mutations", description=__doc__)
    parser.add_argument("--examples", type=int, default=1000, help="histories to try for each mistake (1000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="mistakes whose name holds this")
    arguments = parser.parse_args()
    chosen = [mutation for mutation in MUTATIONS if arguments.only in mutation.name]
    found = sum(is_found(mutation, arguments.examples, arguments.seed) for mutation in chosen)
    print(f"{found} of {len(chosen)} mistakes found")
    return 0 if found == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
