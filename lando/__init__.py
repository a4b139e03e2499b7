"""Lando runs workflows on Kubernetes from a message queue and never loses one."""
