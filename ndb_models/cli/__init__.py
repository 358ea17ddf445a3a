"""Subcommands of `ndb-models` that need no server. `ndb_models.server.cli` starts them."""
