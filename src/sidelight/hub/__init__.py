"""Publishing a scorer: its model card, and the repository of the hub that it goes to."""
