"""What stands in for a removed feature: one file a modality."""
