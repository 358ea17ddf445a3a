"""Where keys live: one contract, and its stores. No store knows the wire. Memory and SQLite are independent."""
