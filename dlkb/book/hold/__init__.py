"""Hold what a page says."""
