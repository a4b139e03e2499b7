"""What runs inside the pods: one program per step, started as ``python -m lando.steps.<step>``.

Each reads its command file, writes its log to standard output, leaves ids or a cause in the termination message,
exits 0 or not, and can be run again on the same volumes. None of them needs rights in the cluster.
"""
