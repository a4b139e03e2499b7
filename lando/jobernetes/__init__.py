"""The names and the command of the original (phases contract, 1 and 11)."""
