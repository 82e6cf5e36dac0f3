"""Classifiers that experiments train or convert. Users bring their own."""
