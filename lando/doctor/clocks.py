"""A peer's clock beside ours, by the ``Date`` of its answer. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from lando.doctor.findings import Finding, ok, warning

TOLERATED = timedelta(seconds=30)


def judge(peers_time: datetime | None, ours: datetime, whose: str) -> list[Finding]:
    """None where the peer did not tell its time."""
    if peers_time is None:
        return []
    ahead_s = (peers_time - ours).total_seconds()
    where = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
    if abs(ahead_s) <= TOLERATED.total_seconds():
        return [ok("clock", f"{whose} clock agrees with this machine's within {max(abs(ahead_s), 1):.0f} s")]
    advice = "have both set by NTP: tokens and signed URLs are refused, and times in logs mislead, when clocks differ"
    return [warning("clock", f"{whose} clock is {where}", advice)]
