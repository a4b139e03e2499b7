"""What quotas and LimitRanges will say to the pods of a Job, which its own dry run does not tell. Pure."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from decimal import Decimal

from lando.k8s.cluster import Manifest
from lando.local.rules import limit_ranges, pods, quotas
from lando.local.rules.quantities import parse_quantity

JOBS = "count/jobs.batch"


def obstacles(job: Manifest, ranges: Sequence[Manifest], limits: Sequence[Manifest]) -> Iterator[str]:
    """Why a pod of ``job``, as the cluster has completed it, can never be; ``limits`` are ResourceQuotas."""
    template = copy.deepcopy(job["spec"]["template"])
    pod: Manifest = {**template, "metadata": template.get("metadata") or {}}
    pods.default(pod)
    limit_ranges.fill_up(pod, ranges)
    pods.initialise(pod)
    for words in limit_ranges.refusals("pods", pod, ranges):
        yield f"a LimitRange of the namespace forbids its pods: {words}"
    usage = quotas.usage_of("pods", "", pod)
    for quota in limits:
        if not quotas.concerns(quota, "pods", pod):
            continue
        name, hard = quota["metadata"]["name"], quotas.limits_of(quota)
        if lacking := quotas.missing_from(pod, hard):
            yield (
                f"the quota {name} forbids pods that do not say how much they need; "
                f"add to the containers' resources {lacking}"
            )
        over = [key for key, amount in sorted(usage.items()) if key in hard and amount > parse_quantity(hard[key])]
        if over:
            asked = quotas.written(usage, over)
            much = ", ".join(f"{key} {asked[key]} of at most {hard[key]}" for key in over)
            yield f"its pods never fit the quota {name}: {much}"


def room_for_jobs(staying: int, present: int, limits: Sequence[Manifest]) -> Iterator[tuple[str, bool]]:
    """What speaks against so many Jobs that stay when they are complete, of which some are there; and whether that is
    for good."""
    for quota in limits:
        hard = quotas.limits_of(quota).get(JOBS)
        if hard is None:
            continue
        name, most = quota["metadata"]["name"], parse_quantity(hard)
        others = parse_quantity(((quota.get("status") or {}).get("used") or {}).get(JOBS, "0")) - present
        if staying > most or most == 0:
            yield (
                f"the quota {name} allows {hard} Jobs ({JOBS}), but {staying} of this model stay until they are "
                "cleaned up: have it raised, or give them ttlSecondsAfterFinished",
                True,
            )
        elif staying + max(others, Decimal(0)) > most:
            yield (
                f"the quota {name} allows {hard} Jobs ({JOBS}), of which others use {others}: "
                f"with {staying} of this model that stay, the last ones wait until others are gone",
                False,
            )
