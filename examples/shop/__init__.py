"""A fruit shop with typed sessions: see `app`."""
