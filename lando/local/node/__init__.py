"""The embedded cluster's one node: pods become processes of this machine."""
