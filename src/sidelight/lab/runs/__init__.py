"""The folder of one training, and the classifiers that experiments train."""
