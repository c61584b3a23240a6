"""What is known already: the key of a step, what a store has under it, and why it has nothing.

`looking` finds what a step reads, `cache` makes the key of it and keeps what came out; `finding` asks the store and
shared caches, `policy` says who may not; `cutoff` keeps an old layer where a command made the same files. `former`,
`inputs` and `explain` name what differs from the last time, `forecast` tells all that without doing anything.
"""
