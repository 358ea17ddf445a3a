"""Subcommands of `ndb-models` that need no server. What starts them is `ndb_models.server.cli`."""
