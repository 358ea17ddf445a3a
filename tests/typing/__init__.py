"""Programs as users write them: type-checked by mypy and basedpyright, never run.

What must be an error carries an ignore with its code for each checker; an ignore that is not needed is an error itself.
"""
