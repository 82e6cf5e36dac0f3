"""What the documentation's site needs beside the pages: its navigation, and links out of ``docs``."""
