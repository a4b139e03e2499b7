"""The rules of LimitRanges, and what they make of pods and claims as these are created. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from lando.local.rules.pod_spec import containers_of
from lando.local.rules.quantities import format_quantity, parse_quantity
from lando.local.rules.quotas import is_binary, pod_total
from lando.local.rules.status import FieldError, Manifest, duplicate, forbidden_field, invalid_value, required

ANNOTATION = "kubernetes.io/limit-ranger"
"""On a pod: which of its requests and limits come from a LimitRange."""
_NO_DEFAULTS_FOR = ("Pod", "PersistentVolumeClaim")


def default(manifest: Manifest) -> None:
    """For containers a limit defaults to the maximum, and a request to the limit or else to the minimum."""
    for item in (manifest.get("spec") or {}).get("limits") or []:
        if item.get("type") != "Container":
            continue
        limits = item.setdefault("default", {})
        requests = item.setdefault("defaultRequest", {})
        limits.update({name: value for name, value in (item.get("max") or {}).items() if name not in limits})
        for source in (limits, item.get("min") or {}):
            requests.update({name: value for name, value in source.items() if name not in requests})
        for part in ("default", "defaultRequest"):
            if not item[part]:
                del item[part]


def validate(manifest: Manifest) -> list[FieldError]:
    """Each type once, and minimum ≤ default request ≤ default limit ≤ maximum."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for at, item in enumerate((manifest.get("spec") or {}).get("limits") or []):
        field, kind = f"spec.limits[{at}]", item.get("type", "")
        if not kind:
            errors.append(required(f"{field}.type"))
        if kind in seen:
            errors.append(duplicate(f"{field}.type", kind))
        seen.add(kind)
        if kind in _NO_DEFAULTS_FOR:
            errors += [
                forbidden_field(f"{field}.{part}", f"may not be specified when `type` is '{kind}'")
                for part in ("default", "defaultRequest")
                if item.get(part)
            ]
            item = {**item, "default": {}, "defaultRequest": {}}
        errors += _order_errors(item, field)
    return errors


_ORDER = (
    ("min", "min", "max", "max"),
    ("defaultRequest", "default request", "max", "max"),
    ("defaultRequest", "default request", "default", "default limit"),
    ("default", "default", "max", "max"),
)


def _order_errors(item: Manifest, field: str) -> Iterator[FieldError]:
    for low, low_word, high, high_word in _ORDER:
        for name, value in sorted((item.get(low) or {}).items()):
            bound = (item.get(high) or {}).get(name)
            if bound is not None and parse_quantity(value) > parse_quantity(bound):
                words = f"{low_word} value {value} is greater than {high_word} value {bound}"
                yield invalid_value(f"{field}.{low}[{name}]", value, words)


def fill_up(pod: Manifest, limit_ranges: Sequence[Manifest]) -> None:
    """Give the containers of a new pod, in place, the requests and limits that they lack."""
    said: list[str] = []
    for item in _items(limit_ranges, "Container"):
        for part, word in (("containers", "container"), ("initContainers", "init container")):
            for container in pod["spec"].get(part) or []:
                said += _fill_up_container(container, item, word)
    if said:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations[ANNOTATION] = "LimitRanger plugin set: " + "; ".join(said)


def _fill_up_container(container: Manifest, item: Manifest, word: str) -> Iterator[str]:
    resources = container.setdefault("resources", {})
    for part, source, singular in (("requests", "defaultRequest", "request"), ("limits", "default", "limit")):
        given = resources.get(part) or {}
        added = {name: value for name, value in (item.get(source) or {}).items() if name not in given}
        if added:
            resources[part] = {**given, **added}
            yield f"{', '.join(sorted(added))} {singular} for {word} {container['name']}"


def refusals(resource: str, manifest: Manifest, limit_ranges: Sequence[Manifest]) -> list[str]:
    """What speaks against a new pod or claim; one sentence for each limit that it breaks."""
    found: list[str] = []
    if resource == "persistentvolumeclaims":
        requests = (manifest["spec"].get("resources") or {}).get("requests") or {}
        for item in _items(limit_ranges, "PersistentVolumeClaim"):
            found += _against(item, _amounts(requests), None)
    elif resource == "pods":
        for item in _items(limit_ranges, "Container"):
            for container in containers_of(manifest["spec"]):
                resources = container.get("resources") or {}
                found += _against(item, _amounts(resources.get("requests")), _amounts(resources.get("limits")))
        for item in _items(limit_ranges, "Pod"):
            found += _against(item, pod_total(manifest["spec"], "requests"), pod_total(manifest["spec"], "limits"))
    return found


def _items(limit_ranges: Sequence[Manifest], kind: str) -> Iterator[Manifest]:
    for limit_range in limit_ranges:
        for item in (limit_range.get("spec") or {}).get("limits") or []:
            if item["type"] == kind:
                yield item


def _amounts(given: Mapping[str, Any] | None) -> dict[str, Decimal]:
    return {name: parse_quantity(value) for name, value in (given or {}).items()}


def _against(item: Manifest, requests: dict[str, Decimal], limits: dict[str, Decimal] | None) -> Iterator[str]:
    """Sentences in the API server's words; ``limits`` None is for what has requests only."""
    kind = item["type"]
    for name, bound in sorted((item.get("min") or {}).items()):
        yield from _beyond(f"minimum {name} usage per {kind} is {bound}", name, bound, requests, limits, _below)
    for name, bound in sorted((item.get("max") or {}).items()):
        yield from _beyond(f"maximum {name} usage per {kind} is {bound}", name, bound, requests, limits, _above)
    for name, bound in sorted((item.get("maxLimitRequestRatio") or {}).items()):
        words = f"{name} max limit to request ratio per {kind} is {bound}, but"
        request, limit = requests.get(name), (limits or {}).get(name)
        if not request:
            yield f"{words} no request is specified or request is 0"
        elif not limit:
            yield f"{words} no limit is specified or limit is 0"
        elif limit / request > parse_quantity(bound):
            yield f"{words} provided ratio is {limit / request:.6f}"


def _below(amount: Decimal, bound: Decimal) -> bool:
    return amount < bound


def _above(amount: Decimal, bound: Decimal) -> bool:
    return amount > bound


def _beyond(
    words: str,
    name: str,
    bound: str,
    requests: dict[str, Decimal],
    limits: dict[str, Decimal] | None,
    wrong: Callable[[Decimal, Decimal], bool],
) -> Iterator[str]:
    """A request or a limit on the wrong side of ``bound``; a maximum needs a limit to be given, a minimum a request."""
    request, limit = requests.get(name), (limits or {}).get(name)
    leading, word = (request, "request") if limits is None or wrong is _below else (limit, "limit")
    if leading is None:
        yield f"{words}.  No {word} is specified"
        return
    for amount, named in ((limit, "limit"), (request, "request")):
        if amount is not None and wrong(amount, parse_quantity(bound)):
            yield f"{words}, but {named} is {format_quantity(amount, binary=is_binary(name))}"
            return
