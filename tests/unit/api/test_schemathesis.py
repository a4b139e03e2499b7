"""A small part of what ``make fuzz`` does, always the same."""

from __future__ import annotations

import pytest
from tests.fuzz.requests import fuzz
from tests.unit.api.serving import Api


@pytest.mark.timeout(300)
def test_no_request_that_schemathesis_makes_up_is_answered_otherwise_than_documented(api: Api) -> None:
    report = fuzz(api, examples=1, seed=7)
    assert not report.findings, "\n\n".join([*report.findings, *report.findings.values()])
    assert report.operations > 150
    assert report.requests > report.operations
    assert len(report.done) > 0.3 * report.operations
