"""What outlives the Jobs of a cluster: ``runs`` has the logs and evidence of runs' steps, ``jobs`` what is kept of Jobs
that are no run's, ``files`` the stores that both lie in."""

from lando.archive.files import PEER
from lando.archive.jobs import JobArchive, Removal
from lando.archive.runs import MAX_BYTES, Archive, Entry

__all__ = ["MAX_BYTES", "PEER", "Archive", "Entry", "JobArchive", "Removal"]
