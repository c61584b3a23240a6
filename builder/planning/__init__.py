"""From stages to the graph of steps: variables get their values, config is folded up, file-system work becomes steps.

Only what the target needs is planned. Instructions that change nothing but the config make no step, so they never
invalidate one; all that later phases must know of them is in the outcome's config and history.
"""
