"""Variants of one run, trained and compared."""
