"""The embedded cluster's objects: stored, versioned, watched."""
