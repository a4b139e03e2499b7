"""Whose Jobs are whose: labels that are put on Jobs and asked for again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lando.definitions.exceptions import DefinitionError
from lando.definitions.spec import Job

_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


class JobSigner:
    """Signs Jobs with ``signature``, the label value by which their manager knows them."""

    LABEL_KEY = "app.kubernetes.io/managed-by"
    JOB_DEFINITION_NAME_KEY = "job_definition_name"

    def __init__(self, signature: str) -> None:
        self.signature = signature

    def sign(self, job: Job, job_definition_name: str | None = None) -> None:
        """Put the labels on ``job`` itself, not on its pods; others stay."""
        signed = {self.LABEL_KEY: self.signature}
        if job_definition_name:
            signed[self.JOB_DEFINITION_NAME_KEY] = job_definition_name
        if isinstance(job, Mapping):
            metadata = job["metadata"]
            metadata["labels"] = {**(metadata.get("labels") or {}), **signed}
        else:
            job.metadata.labels = {**(job.metadata.labels or {}), **signed}

    def label_selector(self, job_definition_name: str | None = None, **extra_labels: Any) -> str:
        """The selector of the Jobs that were signed, of one definition if given, with all of ``extra_labels``."""
        wanted: list[tuple[str, Any]] = [(self.LABEL_KEY, self.signature)]
        if job_definition_name:
            wanted.append((self.JOB_DEFINITION_NAME_KEY, job_definition_name))
        # Each has to hold: another signature among the extra labels selects nothing.
        return ",".join(f"{key}={value}" for key, value in [*wanted, *extra_labels.items()])

    def has_signed(self, job: Job) -> bool:
        """Whether ``job``, a V1Job, has this signature."""
        return (job.metadata.labels or {}).get(self.LABEL_KEY) == self.signature

    @property
    def scope(self) -> tuple[str, ...]:
        """Those whose idempotency keys are one another's."""
        return (self.signature,)


class UserSigner(JobSigner):
    """Signs Jobs as those of one ``user`` too, a label's value, and knows only these; with ``knows_all`` those of
    every user, and those that have none."""

    USER_KEY = "lando-user"

    def __init__(self, signature: str, user: str, *, knows_all: bool = False) -> None:
        super().__init__(signature)
        self.user = user
        self.knows_all = knows_all

    def sign(self, job: Job, job_definition_name: str | None = None) -> None:
        """Also over what the manifest itself says of a user."""
        super().sign(job, job_definition_name)
        metadata = job["metadata"] if isinstance(job, Mapping) else job.metadata
        labels = metadata["labels"] if isinstance(metadata, Mapping) else metadata.labels
        labels[self.USER_KEY] = self.user

    def label_selector(self, job_definition_name: str | None = None, **extra_labels: Any) -> str:
        selector = super().label_selector(job_definition_name, **extra_labels)
        return selector if self.knows_all else f"{selector},{self.USER_KEY}={self.user}"

    def has_signed(self, job: Job) -> bool:
        return super().has_signed(job) and (self.knows_all or self.user_of(job) == self.user)

    @classmethod
    def user_of(cls, job: Job) -> str | None:
        """Whose ``job``, a V1Job, is; None where nobody's."""
        user: str | None = (job.metadata.labels or {}).get(cls.USER_KEY)
        return user

    @property
    def scope(self) -> tuple[str, ...]:
        return super().scope if self.knows_all else (*super().scope, self.user)


def check_label_value(what: str, value: object) -> None:
    """Raises DefinitionError when ``value`` can't be a label's value."""
    if not isinstance(value, str) or not value or not _LABEL_VALUE.fullmatch(value):
        raise DefinitionError(
            f"{what} {value!r} can't be the value of a label: it has to be 1 to 63 letters, digits, '-', '_' and '.', "
            "with a letter or digit at both ends"
        )
