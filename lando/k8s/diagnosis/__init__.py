"""Diagnosis: why a step failed or what it waits for, from what the cluster shows. Pure.

``facts`` reads single fields, ``signs`` what a Job and its pods show, ``table`` holds the rules as data (``endings``,
``containers``, ``placement``), ``judging`` holds signs against rules, ``wording`` speaks to those who
wrote their Jobs themselves, and ``evidence`` keeps what was seen.
"""

from lando.k8s.diagnosis.judging import Diagnosis, Verdict, deleted, diagnose
from lando.k8s.diagnosis.wording import of_a_job

__all__ = ["Diagnosis", "Verdict", "deleted", "diagnose", "of_a_job"]
