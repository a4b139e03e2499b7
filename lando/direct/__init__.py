"""Runs a plan straight against a cluster, from one command, with only a kubeconfig or a pod's account.

What to do is decided by the same code as in the service (:mod:`lando.decide`); state lives in the cluster alone, so
that a run that was killed at any moment is taken up by the next one.
"""
