"""The version, which rooms can read without an import of the public face."""

__version__ = "0.2.0.dev0"
