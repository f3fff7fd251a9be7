"""Run a page and compare what it prints."""
