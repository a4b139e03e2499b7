"""`lando doctor`: looks at everything that the daemons need, before they are started or when they do not work.

A part (:mod:`.examining`) asks one peer and yields findings (:mod:`.findings`); what a peer's documents mean is judged
by pure functions beside it. Nothing is changed anywhere: what is tried is tried dry, on names of its own, or taken
back at once.
"""
