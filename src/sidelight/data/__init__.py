"""Data sets by name, image loading, and the embedded sets with known truth."""
