"""Reviews: what may I do, and who am I? They are created and answered, never kept."""

from __future__ import annotations

from typing import Any

from lando.local.http.access import Grant
from lando.local.http.exchange import Answer, Request, json_answer
from lando.local.http.routing import RequestInfo
from lando.local.rules import status
from lando.local.rules.status import Manifest

AUTHORIZATION = "authorization.k8s.io"
AUTHENTICATION = "authentication.k8s.io"
GROUPS = (AUTHORIZATION, AUTHENTICATION)
KINDS = {
    (AUTHORIZATION, "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
    (AUTHORIZATION, "selfsubjectrulesreviews"): "SelfSubjectRulesReview",
    (AUTHENTICATION, "selfsubjectreviews"): "SelfSubjectReview",
}
"""Kind by group and resource."""


async def answer(grant: Grant, info: RequestInfo, request: Request) -> Answer:
    """The review that ``info`` names, filled in for the holder of ``grant``. Raises ApiError."""
    kind = KINDS.get((info.group, info.resource or ""))
    if kind is None:
        raise status.unknown_route()
    if info.verb != "create" or info.name:
        raise status.method_not_allowed()
    document: Any = await request.document()
    given = document.get("spec") if isinstance(document, dict) else None
    spec = given if isinstance(given, dict) else {}
    match kind:
        case "SelfSubjectAccessReview":
            result = _access(grant, spec)
        case "SelfSubjectRulesReview":
            result = _rules(grant, spec)
        case _:
            result = {"userInfo": {"username": grant.user, "groups": ["system:authenticated"]}}
    review: Manifest = {
        "kind": kind,
        "apiVersion": f"{info.group}/v1",
        "metadata": {"creationTimestamp": None},
        "spec": spec,
        "status": result,
    }
    return json_answer(201, review)


def _access(grant: Grant, spec: Manifest) -> Manifest:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if isinstance(path, dict):
        return {"allowed": grant.allows_path(str(path.get("verb", "")))}
    if not isinstance(resource, dict):
        field = "spec.resourceAttributes"
        raise status.invalid("SelfSubjectAccessReview", AUTHORIZATION, "", [status.required(field)])
    asked = (str(resource.get(part, "")) for part in ("verb", "namespace", "resource"))
    return {"allowed": grant.allows(*asked)}


def _rules(grant: Grant, spec: Manifest) -> Manifest:
    namespace = spec.get("namespace")
    if not isinstance(namespace, str) or not namespace:
        raise status.invalid("SelfSubjectRulesReview", AUTHORIZATION, "", [status.required("spec.namespace")])
    rules: list[Manifest] = []
    if grant.allows("*", namespace, "*"):
        rules.append({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
    own = [resource for group, resource in KINDS if group == AUTHORIZATION]
    rules.append({"verbs": ["create"], "apiGroups": [AUTHORIZATION], "resources": own})
    paths = [{"verbs": ["get"], "nonResourceURLs": ["*"]}]
    return {"resourceRules": rules, "nonResourceRules": paths, "incomplete": False}
