"""Speed, as ratios measured in one run on a real stack of processes; `make bench` runs it."""
