"""The two daemons and what they share: the calls to a cluster, watching it, judging what is seen."""
