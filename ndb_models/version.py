"""The version of this package; the server answers it as its own."""

__version__ = "0.1.0"
"""The version of this package, as in its metadata."""
