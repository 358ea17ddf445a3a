"""Where keys live: one contract, and its stores. No store knows the protocol. None knows another."""
