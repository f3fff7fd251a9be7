import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from scripts.figures.classic_ml import linear_models as figures
from tests.figures.drawn import assert_draws

X = figures.POINTS[:, None]


def test_fits_are_those_of_sklearn_at_every_strength():
    for l2 in figures.STRENGTHS:
        data = figures.fits(l2)
        logistic = LogisticRegression(C=1 / l2, tol=1e-12, max_iter=10_000).fit(X, figures.LABELS)
        svm = SVC(kernel="linear", C=1 / l2, tol=1e-10).fit(X, figures.LABELS)
        for ours, theirs in ((data.logistic, logistic), (data.margin, svm)):
            expected = [theirs.coef_[0, 0], theirs.intercept_[0]]
            assert np.allclose(ours, expected, rtol=1e-3, atol=1e-3)


def test_separable_draws_both_curves():
    logistic, score = figures.curves(figures.fits())
    x = figures.POINTS
    assert_draws(
        figures.separable(),
        lines={
            "class 0": (x[:4], [-1.0] * 4),
            "class 1": (x[4:], [1.0] * 4),
            "logistic: 2 σ(z) − 1": logistic,
            "SVM: z": score,
        },
        legend=["class 0", "class 1", "logistic: 2 σ(z) − 1", "SVM: z"],
        xlabel="feature x",
    )


def test_the_street_is_that_of_sklearn():
    data = figures.lifted_data()
    features = np.stack([figures.LINE, figures.LINE**2], 1)
    oracle = SVC(kernel="linear", C=1e4, tol=1e-10).fit(features, figures.INNER)
    assert np.allclose(data.w, oracle.coef_[0], atol=1e-4)
    assert abs(data.b - oracle.intercept_[0]) < 1e-4


def test_lifted_draws_the_points_and_the_street():
    data, x, inner = figures.lifted_data(), figures.LINE, figures.INNER == 1
    points = {"inner": (x[inner], 0 * x[inner]), "outer": (x[~inner], 0 * x[~inner])}
    assert_draws(
        figures.lifted(), panel=0, lines=points, legend=["inner", "outer"], title="one feature"
    )
    assert_draws(
        figures.lifted(),
        panel=1,
        lines={
            "inner": (x[inner], x[inner] ** 2),
            "outer": (x[~inner], x[~inner] ** 2),
            **{
                f"score {level}".replace("-", "−"): (figures.GRID, figures.street(data, level))
                for level in (-1, 0, 1)
            },
        },
        title="x and x²",
    )
