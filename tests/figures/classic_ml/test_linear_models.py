from scripts.figures.classic_ml import linear_models as figures
from tests.figures.drawn import assert_draws


def test_overview_draws_its_data():
    assert_draws(figures.overview(), lines={"": figures.overview_data()}, xlabel="x", ylabel="y")


# to write: what the page says of the figure, asserted on its data
