"""The command line `ndb-models`, on top of everything."""
