"""The version, where no room must import the public face to know it."""

__version__ = "0.1.0"
