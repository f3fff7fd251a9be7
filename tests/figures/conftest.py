import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True)
def closed_figures():
    """Close what a test has drawn: one process draws the figures of all pages."""
    yield
    plt.close("all")
