"""The whole table of rules; where several fit one place, the first speaks. ``docs/causes.md`` shows it."""

from __future__ import annotations

from lando.k8s.diagnosis.containers import CONTAINERS
from lando.k8s.diagnosis.endings import ENDINGS
from lando.k8s.diagnosis.placement import PLACEMENT
from lando.k8s.diagnosis.rules import Rule

RULES: tuple[Rule, ...] = (*ENDINGS, *CONTAINERS, *PLACEMENT)
