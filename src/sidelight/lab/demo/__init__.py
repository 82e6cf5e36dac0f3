"""The embedded demo: every modality from training to report on data that ships with the library."""
