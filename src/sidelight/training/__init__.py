"""The objective's terms, the training loop, its warnings and its folder on disk."""
