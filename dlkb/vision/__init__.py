"""Formulas of the pages on vision."""
