"""What a Lease of a phased run says: who runs which Jobs since when, and what is complete and gone.

One Lease for each set of Job names. Its annotations are bounded: the API takes 256 KiB of them in one object.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lando.direct.holder import Holder
from lando.errors import Refused
from lando.k8s.cluster import Cluster, Manifest
from lando.phases.labels import RUN

LABEL = "lando-phases"
"""On every Lease of a phased run: two models that share Jobs see each other by it."""
JOBS = "lando.jobs"
"""Annotation: the digests of the names of all Jobs, eight hexadecimal digits each."""
ADMITTED = "lando.admitted"
"""Annotation: its holder has seen no other that runs one of these Jobs, and is at work."""
COMPLETE = "lando.complete"
"""Annotation: the Jobs that are complete and will vanish by themselves, as compressed JSON."""
DURATION_S = 15
MOST_JOBS = 12_000
COMPLETE_LIMIT = 144 * 1024
"""Characters of :data:`COMPLETE`: some 3,000 Jobs."""
_SURELY_FIT = 1000  # Jobs, however long and different their names are
_DIGITS = 8


@dataclass(frozen=True, kw_only=True)
class Completion:
    """A Job that was complete before it vanished by its ``ttlSecondsAfterFinished``."""

    uid: str
    digest: str
    """Of its file; a beginning of it is enough."""
    duration_s: float | None = None

    def is_of(self, digest: str) -> bool:
        """Whether the Job was made from a file of this digest."""
        return digest[: len(self.digest)] == self.digest


@dataclass(frozen=True, kw_only=True)
class Record:
    """One Lease, read."""

    name: str
    uid: str
    version: str
    is_ours: bool
    """Whether it is of a phased run at all."""
    identity: str
    """Of its holder; "" when nobody holds it."""
    acquired: str
    renewed: str
    duration_s: int
    transitions: int
    admitted: bool
    jobs: frozenset[str]
    """Digests of names."""
    complete: Mapping[str, Completion]
    run: str
    """By what the Jobs are known that it makes; "" before the first run and after the end of the last."""

    @property
    def holder(self) -> str:
        """For people."""
        known = Holder.parse(self.identity)
        return known.described if known is not None else self.identity

    @property
    def since(self) -> str:
        """For people: whole seconds, UTC."""
        return f"{self.acquired[:19].replace('T', ' ')} UTC" if self.acquired else "an unknown time"

    @property
    def seniority(self) -> tuple[str, str]:
        """The least goes first among those that are not admitted yet; all holders see the same order."""
        return self.acquired, self.name

    @property
    def state(self) -> tuple[str, str, str]:
        """Differs after each sign of life."""
        return self.uid, self.identity, self.renewed


def lease_name(jobs: Iterable[str]) -> str:
    """Of the Lease for Jobs of these names."""
    return f"jobernetes-{hashlib.sha256(chr(10).join(sorted(jobs)).encode()).hexdigest()[:10]}"


def digests(jobs: Iterable[str]) -> frozenset[str]:
    """Raises Refused when there are more than a Lease has room for."""
    found = frozenset(hashlib.sha256(job.encode()).hexdigest()[:_DIGITS] for job in jobs)
    if len(found) > MOST_JOBS:
        raise Refused(f"The model has more than {MOST_JOBS} Jobs, which one run can't keep account of: split it.")
    return found


def timestamp(moment: datetime) -> str:
    """A MicroTime."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def held(identity: str, now: datetime) -> Manifest:
    """The spec for the first holder; with ``leaseTransitions`` besides for a later one."""
    return {
        "holderIdentity": identity,
        "leaseDurationSeconds": DURATION_S,
        "acquireTime": timestamp(now),
        "renewTime": timestamp(now),
    }


def manifest(name: str, jobs: frozenset[str], spec: Manifest) -> Manifest:
    """A new Lease."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "labels": {LABEL: "true"}, "annotations": {JOBS: "".join(sorted(jobs))}},
        "spec": spec,
    }


def sign_of_life(now: datetime) -> Manifest:
    """As a change."""
    return {"spec": {"renewTime": timestamp(now)}}


def read(lease: Mapping[str, Any]) -> Record:
    """What ``lease`` says; what can't be read counts as not said."""
    metadata, spec = lease["metadata"], lease.get("spec") or {}
    annotations = metadata.get("annotations") or {}
    packed = str(annotations.get(JOBS) or "")
    return Record(
        name=metadata["name"],
        uid=metadata["uid"],
        version=str(metadata.get("resourceVersion", "")),
        is_ours=LABEL in (metadata.get("labels") or {}),
        identity=str(spec.get("holderIdentity") or ""),
        acquired=str(spec.get("acquireTime") or ""),
        renewed=str(spec.get("renewTime") or ""),
        duration_s=spec.get("leaseDurationSeconds") or DURATION_S,
        transitions=spec.get("leaseTransitions") or 0,
        admitted=ADMITTED in annotations,
        jobs=frozenset(packed[at : at + _DIGITS] for at in range(0, len(packed), _DIGITS)),
        complete=unpacked(str(annotations.get(COMPLETE) or "")),
        run=str(annotations.get(RUN) or ""),
    )


def patch(cluster: Cluster, record: Record, annotations: Mapping[str, str | None], change: Manifest) -> Record:
    """Change that very version. Raises Conflict when there is a newer one, NotFound, and as any call."""
    metadata = {"resourceVersion": record.version, "annotations": dict(annotations)}
    return read(cluster.patch("Lease", record.name, {"metadata": metadata, **change}))


def others(cluster: Cluster, name: str, jobs: frozenset[str]) -> list[Record]:
    """The Leases besides that of this name that share one of the Jobs."""
    found = [read(item) for item in cluster.list("Lease", LABEL)]
    return [one for one in found if one.name != name and one.jobs & jobs]


def noted(complete: Mapping[str, Completion], more: Mapping[str, Completion]) -> dict[str, Completion] | None:
    """Both together; None when there is no room for that."""
    both = {**complete, **more}
    return both if len(both) <= _SURELY_FIT or len(packed(both)) <= COMPLETE_LIMIT else None


def packed(complete: Mapping[str, Completion]) -> str:
    """The value of :data:`COMPLETE`, whatever its length."""
    rows = [
        [name, one.uid, one.digest[:12], None if one.duration_s is None else round(one.duration_s, 1)]
        for name, one in sorted(complete.items())
    ]
    text = json.dumps(rows, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def unpacked(text: str) -> dict[str, Completion]:
    """The opposite of :func:`packed`; nothing when it can't be read, so that Jobs run again rather than never."""
    try:
        inflate = zlib.decompressobj()
        raw = inflate.decompress(base64.b64decode(text, validate=True), 64 * COMPLETE_LIMIT)
        rows = json.loads(raw) if raw else []
        return {
            str(name): Completion(uid=str(uid), digest=str(digest), duration_s=duration_s)
            for name, uid, digest, duration_s in rows
        }
    except (ValueError, TypeError, zlib.error):
        return {}
