"""The version of this package; the server answers it as its own."""

VERSION = "0.1.0"
