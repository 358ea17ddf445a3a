"""Lookups: the catalogue of a schema's index, its entries, and unique claims."""
