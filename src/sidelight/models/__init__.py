"""The classifiers that experiments train or convert; users bring their own."""
