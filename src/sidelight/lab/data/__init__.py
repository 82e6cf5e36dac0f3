"""Data sets by name: embedded ones with known evidence, and local copies of public ones."""
