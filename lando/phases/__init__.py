"""Phased runs: a folder of plain Kubernetes Jobs and one file, the model, that orders them (phases contract).

Pure words, shared by the command that runs a model straight against a cluster (:mod:`lando.direct`) and by the service.
"""
