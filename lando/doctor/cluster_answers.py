"""What a cluster's answers about itself and the daemons' account mean. Pure."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from lando.config.secrets import FileSecret
from lando.doctor.findings import Finding, failed, ok, unknown, warning
from lando.errors import NotFound, PeerError
from lando.k8s.permissions import Permission

OLDEST_MINOR = 25
"""Of Kubernetes 1: what docs/deployment.md asks for."""
_ACCOUNTS = {"lando": "lando", "watcher": "lando-watcher", "server": "lando-server"}
"""By process, as openshift/runs makes them."""
SOON = timedelta(days=14)
RENEWAL = "make a new one (kubectl create token lando --duration 8760h), or have one renewed in a token_file"


def version(document: Mapping[str, Any]) -> Finding:
    """Of ``GET /version``."""
    told = str(document.get("gitVersion") or "an unknown version")
    found = re.match(r"(\d+)", str(document.get("minor", "")))
    if document.get("major") != "1" or found is None:
        return unknown("version", f"{told}, which does not look like Kubernetes")
    if int(found[1]) < OLDEST_MINOR:
        return warning(
            "version", f"Kubernetes {told}", f"have it updated: Lando is made for 1.{OLDEST_MINOR} and later"
        )
    return ok("version", f"Kubernetes {told}")


def token(who: str | PeerError, value: str | None, setting: str | None, now: datetime) -> Iterator[Finding]:
    """``value`` is the bearer token in use, ``setting`` what the configuration gave, with its file."""
    if isinstance(who, PeerError) and who.status == 401:
        yield failed("token", "the cluster does not take it", RENEWAL)
        return
    claims = jwt_claims(value or "")
    name = who if isinstance(who, str) and who else str(claims.get("sub") or "an account that it does not name")
    until = _expiry(claims)
    is_renewed = setting is None or isinstance(setting, FileSecret)
    if until is None:
        yield ok("token", f"is valid, for {name}")
    elif until - now > SOON or (is_renewed and until > now):
        how = ", and read again from its file" if isinstance(setting, FileSecret) else ""
        yield ok("token", f"is valid until {until:%Y-%m-%d %H:%M} UTC, for {name}{how}")
    else:
        seen = f"ends at {until:%Y-%m-%d %H:%M} UTC, for {name}, and nobody renews it"
        yield warning("token", seen, RENEWAL)


def jwt_claims(value: str) -> Mapping[str, Any]:
    """What a JSON web token says of itself, unverified; empty for any other kind of token."""
    parts = value.split(".")
    if len(parts) != 3:
        return {}
    try:
        document = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _expiry(claims: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def permissions(
    answers: Mapping[str, Sequence[tuple[Permission, bool | PeerError]]], namespace: str
) -> Iterator[Finding]:
    """One finding for each process or account, with every verb that is missing."""
    for daemon, reviewed in answers.items():
        check = f"permissions of {daemon}"
        missing = [permission for permission, allowed in reviewed if allowed is False]
        errors = [allowed for _, allowed in reviewed if isinstance(allowed, PeerError)]
        if missing:
            seen = f"the account may not {missing_words(missing)} in {namespace}"
            advice = (
                f"kubectl -n {namespace} apply -k openshift/runs, and take the token of its account {_ACCOUNTS[daemon]}"
                if daemon in _ACCOUNTS
                else f"bind a Role with these verbs to the account {daemon}"
            )
            yield failed(check, seen, advice)
        elif errors:
            advice = f"try kubectl -n {namespace} auth can-i --list"
            yield unknown(check, str(errors[0]).removeprefix("cluster: "), advice)
        else:
            yield ok(check, f"all {len(reviewed)} that it needs in {namespace}")


def missing_words(missing: Sequence[Permission]) -> str:
    """``create or delete jobs, get pods/log``."""
    by_resource: dict[str, list[str]] = {}
    for one in missing:
        by_resource.setdefault(one.resource, []).append(one.verb)
    return ", ".join(f"{' or '.join(verbs)} {resource}" for resource, verbs in by_resource.items())


def unreadable(error: PeerError) -> str | None:
    """Why something could not be read although it may be there; None where it is not there."""
    if isinstance(error, NotFound):
        return None
    return "this account may not read it" if error.status == 403 else str(error).removeprefix(f"{error.peer}: ")
