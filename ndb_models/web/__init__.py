"""Sessions in web applications."""
