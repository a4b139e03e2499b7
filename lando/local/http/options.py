"""The parameters of requests: ListOptions, DeleteOptions, dryRun and PodLogOptions. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast, get_args

from lando.local.http.routing import flag
from lando.local.rules import status
from lando.local.rules.status import FieldError, Manifest
from lando.local.store.objects import Propagation, parse_version

Query = Mapping[str, str]


def integer(query: Query, name: str) -> int | None:
    """A whole-number parameter; ApiError 400 when it is none."""
    text = query.get(name)
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise status.bad_request(f'{name}: parsing "{text}": invalid syntax') from None


def dry_run(kind: str, given: Any) -> bool:
    """Whether to change nothing; ``given`` is the parameter, once or as a list."""
    values = [value for value in (given if isinstance(given, list) else [given]) if value]
    wrong = [value for value in values if value != "All"]
    if wrong:
        raise status.invalid_options(kind, [status.unsupported("dryRun", wrong, ["All"])])
    return bool(values)


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """Which objects a list, watch or deletecollection is about, and as of when."""

    label_selector: str
    field_selector: str
    limit: int
    continue_: str
    resource_version: str
    exact: bool
    bookmarks: bool
    timeout_s: float | None
    initial_events: bool | None

    @classmethod
    def read(cls, query: Query, *, watching: bool) -> ListOptions:
        """Raises ApiError 400 and 422."""
        errors: list[FieldError] = []
        match, version = query.get("resourceVersionMatch", ""), query.get("resourceVersion", "")
        token = query.get("continue", "")
        initial = flag(query, "sendInitialEvents") if "sendInitialEvents" in query else None
        errors += _match_errors(match, version, token, watching=watching, initial=initial)
        if errors:
            raise status.invalid_options("ListOptions", errors)
        if version:
            parse_version(version)
        if token and version not in ("", "0"):
            raise status.bad_request("specifying resource version is not allowed when using continue")
        timeout_s = integer(query, "timeoutSeconds")
        return cls(
            label_selector=query.get("labelSelector", ""),
            field_selector=query.get("fieldSelector", ""),
            limit=max(integer(query, "limit") or 0, 0),
            continue_=token,
            resource_version=version,
            exact=match == "Exact",
            bookmarks=flag(query, "allowWatchBookmarks"),
            timeout_s=float(timeout_s) if timeout_s and timeout_s > 0 else None,
            initial_events=initial,
        )


def _match_errors(match: str, version: str, token: str, *, watching: bool, initial: bool | None) -> list[FieldError]:
    field = "resourceVersionMatch"
    if watching:
        if initial is not None and match != "NotOlderThan":
            words = f"sendInitialEvents requires setting {field} to NotOlderThan"
            return [status.forbidden_field(field, words)]
        if match and initial is None:
            return [
                status.forbidden_field(field, f"{field} is forbidden for watch unless sendInitialEvents is provided")
            ]
        return []
    if initial is not None:
        return [status.forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list")]
    if not match:
        return []
    if match not in ("Exact", "NotOlderThan"):
        return [status.unsupported(field, match, ("Exact", "NotOlderThan", ""))]
    if not version:
        return [status.forbidden_field(field, f"{field} is forbidden unless resourceVersion is provided")]
    if match == "Exact" and version == "0":
        return [status.forbidden_field(field, f'{field} "exact" is forbidden for resourceVersion "0"')]
    if token:
        return [status.forbidden_field(field, f"{field} is forbidden when continue is provided")]
    return []


@dataclass(frozen=True, kw_only=True)
class DeleteOptions:
    """How to delete, from the body or, where that is empty, from the query."""

    propagation: Propagation | None
    uid: str | None
    resource_version: str | None
    grace_period_s: int | None
    dry_run: bool

    @classmethod
    def read(cls, query: Query, body: Manifest) -> DeleteOptions:
        """Raises ApiError 400 and 422."""
        policy = body.get("propagationPolicy") or query.get("propagationPolicy") or None
        if policy is not None and policy not in get_args(Propagation):
            supported = ("Foreground", "Background", "Orphan", "nil")
            raise status.invalid_options("DeleteOptions", [status.unsupported("propagationPolicy", policy, supported)])
        orphan = body.get("orphanDependents")
        if orphan is None and "orphanDependents" in query:
            orphan = flag(query, "orphanDependents")
        if orphan is not None:
            if policy is not None:
                words = "orphanDependents and deletionPropagation cannot be both set"
                raise status.invalid_options(
                    "DeleteOptions", [status.invalid_value("propagationPolicy", policy, words)]
                )
            policy = "Orphan" if orphan else "Background"
        grace_s = body.get("gracePeriodSeconds")
        if grace_s is None:
            grace_s = integer(query, "gracePeriodSeconds")
        if grace_s is not None and (not isinstance(grace_s, int) or isinstance(grace_s, bool)):
            raise status.bad_request("DeleteOptions: gracePeriodSeconds is a whole number of seconds")
        preconditions = body.get("preconditions") or {}
        if not isinstance(preconditions, dict):
            raise status.bad_request("DeleteOptions: preconditions is an object")
        return cls(
            propagation=cast("Propagation | None", policy),
            uid=preconditions.get("uid"),
            resource_version=preconditions.get("resourceVersion"),
            grace_period_s=grace_s,
            dry_run=dry_run("DeleteOptions", body.get("dryRun") or query.get("dryRun")),
        )


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """Which part of a container's log is wanted."""

    container: str
    follow: bool
    previous: bool
    timestamps: bool
    tail_lines: int | None
    limit_bytes: int | None
    since_time: datetime | None

    @classmethod
    def read(cls, query: Query, pod: str, *, now: datetime | None = None) -> LogOptions:
        """Raises ApiError 400 and 422."""
        tail, limit, since = (integer(query, name) for name in ("tailLines", "limitBytes", "sinceSeconds"))
        errors: list[FieldError] = []
        if tail is not None and tail < 0:
            errors.append(status.invalid_value("tailLines", tail, "must be greater than or equal to 0"))
        if limit is not None and limit < 1:
            errors.append(status.invalid_value("limitBytes", limit, "must be greater than 0"))
        if since is not None and since < 1:
            errors.append(status.invalid_value("sinceSeconds", since, "must be greater than 0"))
        if since is not None and query.get("sinceTime"):
            errors.append(status.forbidden_field("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
        if errors:
            raise status.invalid_options("PodLogOptions", errors, pod)
        since_time = _moment(query["sinceTime"]) if query.get("sinceTime") else None
        if since is not None:
            since_time = (now or datetime.now(UTC)) - timedelta(seconds=since)
        return cls(
            container=query.get("container", ""),
            follow=flag(query, "follow"),
            previous=flag(query, "previous"),
            timestamps=flag(query, "timestamps"),
            tail_lines=tail,
            limit_bytes=limit,
            since_time=since_time,
        )


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise status.bad_request(f'sinceTime: parsing time "{text}": it is an RFC 3339 time') from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
