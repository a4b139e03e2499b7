"""Kubernetes Jobs from named, templated definitions: a library and a server (job-definitions contract)."""
