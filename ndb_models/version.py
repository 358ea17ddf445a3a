"""The version of this package; the server answers it as its own."""

__version__ = "0.1.0"
