"""What an explanation holds, how it is saved, and how many are made and read."""
