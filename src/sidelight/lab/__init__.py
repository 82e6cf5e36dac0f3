"""The laboratory: everything that measures explanations. It may import the library, never the other way."""
