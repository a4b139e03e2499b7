"""How a machine is run."""

from __future__ import annotations

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

RULES = 20
"""Rules of one history, at most."""


def search(
    machine: type[RuleBasedStateMachine], *, examples: int, seed: int | None = None, shrink: bool = True
) -> None:
    """Try ``examples`` histories; raises what the shortest (without ``shrink``: the first) that fails raised."""
    wanted = settings(
        max_examples=examples,
        stateful_step_count=RULES,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    chosen = type(machine.__name__, (machine,), {})
    if seed is not None:
        hypothesis.seed(seed)(chosen)
    run_state_machine_as_test(chosen, settings=wanted)
