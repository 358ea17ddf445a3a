"""Where keys live: one contract, and the stores that keep it. They know neither the wire nor each other."""
