"""Integrations with other packages. Each module needs its own extra. The rest of this package does not import them."""
