"""Runs blocks of Python one after another in one namespace, as a reader would in `python -m asyncio`.

`python -m tests.documentation.page_runner NAME < blocks.json`: the blocks are an array of texts. A block that awaits at
its top level runs in an event loop that stays the same for all of them. Others run outside, and may start their own.
"""

from __future__ import annotations

import ast
import asyncio
import json
import linecache
import sys
from types import CodeType
from typing import Any


def main(page: str, blocks: list[str]) -> None:
    """Run all blocks."""
    # Annotations of a class are looked up in its module.
    namespace: dict[str, Any] = sys.modules["__main__"].__dict__
    with asyncio.Runner() as runner:
        for number, block in enumerate(blocks, 1):
            file = f"{page}, block {number}"
            linecache.cache[file] = (len(block), None, block.splitlines(keepends=True), file)
            code: CodeType = compile(block, file, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            done = eval(code, namespace)
            if done is not None:
                runner.run(done)


if __name__ == "__main__":
    main(sys.argv[1], json.load(sys.stdin))
