"""Formulas of the pages on retrieval."""
