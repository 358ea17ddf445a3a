"""Programs with mistakes, for the tests of what type checkers say of them. They are never run.

`# E:` says what mypy says of the line with the plugin: a part of each message, and its code. `# P:` says the rules by
which basedpyright complains of it, without their prefix `report`. Of a line without them, neither says anything.
"""
