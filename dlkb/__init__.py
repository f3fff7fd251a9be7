"""Deep learning, written once as array-API formulas and held to account by tests."""

__version__ = "0.1.0"
