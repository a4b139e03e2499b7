"""Who may do what, without a server."""

from __future__ import annotations

import pytest
from lando.local.http.access import ANONYMOUS, Grant

ADA = Grant(user="ada", namespaces=frozenset({"a"}))
ADMIN = Grant(user="admin")


@pytest.mark.parametrize(
    ("grant", "verb", "namespace", "resource", "allowed"),
    [
        (ADA, "delete", "a", "jobs", True),
        (ADA, "list", "b", "jobs", False),
        (ADA, "list", "", "jobs", False),
        (ADA, "get", "a", "namespaces", True),
        (ADA, "delete", "a", "namespaces", False),
        (ADA, "patch", "a", "namespaces", False),
        (ADA, "list", "", "namespaces", False),
        (ADMIN, "delete", "a", "namespaces", True),
        (ADMIN, "list", "", "jobs", True),
        (ANONYMOUS, "list", "a", "jobs", False),
    ],
)
def test_a_namespace_is_all_that_its_users_have(
    grant: Grant, verb: str, namespace: str, resource: str, allowed: bool
) -> None:
    assert grant.allows(verb, namespace, resource) is allowed


def test_everybody_with_a_token_reads_what_the_server_says_about_itself() -> None:
    assert [grant.allows_path("get") for grant in (ADMIN, ADA, ANONYMOUS)] == [True, True, False]
