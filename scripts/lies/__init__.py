"""Falsehoods planted into the pages of the book, and what notices them."""
