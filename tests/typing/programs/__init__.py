"""Programs with mistakes, for tests of type checkers. They are never run.

`# E:` marks the errors of mypy with the plugin: a part of each message, and its code, with `//` between several. `# P:`
marks the rules of basedpyright's errors, without their prefix `report`. Lines without a mark have no error.
"""
