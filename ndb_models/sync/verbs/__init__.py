"""The synchronous verbs, written by `.ci/sync_verbs.py` from the asynchronous ones."""
