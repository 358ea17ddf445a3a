"""NemesisDB's protocol: statuses, commands, frames, and the queue that matches answers to requests.

This package decides and never waits: no sockets, no files, no asyncio. Client and engine read the same rows.
"""
