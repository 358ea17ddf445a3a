"""`python -m ndb_models` is the command `ndb-models`."""

from __future__ import annotations

import sys

from ndb_models.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
