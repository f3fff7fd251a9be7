"""What linear models of libraries minimize unless told otherwise, found by fitting."""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.svm import SVC, LinearSVC

LIBRARIES = ("scikit-learn", "torch")

Vector = NDArray[np.float64]
Fit = Callable[[Vector, Vector], tuple[float, float]]

X = np.asarray([-2.0, -1.0, -0.4, 0.3, 0.9, 2.2])
LABELS = np.asarray([0.0, 0.0, 1.0, 0.0, 1.0, 1.0])


def of_sklearn(model: object) -> Fit:
    """Return a function that fits a model of scikit-learn and returns weight and intercept."""

    def fit(x: Vector, y: Vector) -> tuple[float, float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x[:, None], y)  # type: ignore[attr-defined]
        return float(np.ravel(model.coef_)[0]), float(np.ravel(model.intercept_)[0])  # type: ignore[attr-defined]

    return fit


def of_torch(x: Vector, y: Vector) -> tuple[float, float]:
    """Fit `nn.Linear` by the mean logistic loss, with `weight_decay` on all parameters."""
    layer = torch.nn.Linear(1, 1, dtype=torch.float64)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    inputs, targets = torch.tensor(x)[:, None], torch.tensor(y)[:, None]
    loss = torch.nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.3, weight_decay=0.1)
    for _ in range(600):
        optimizer.zero_grad()
        loss(layer(inputs), targets).backward()
        optimizer.step()
    return layer.weight.item(), layer.bias.item()


def loss_words(fit: Fit) -> str:
    """A penalty weighs less beside a sum over twice the examples, and the same beside a mean."""
    once, twice = fit(X, LABELS), fit(np.tile(X, 2), np.tile(LABELS, 2))
    return "mean" if np.allclose(once, twice, rtol=2e-2) else "sum"


def intercept_words(fit: Fit) -> str:
    """Moving all examples changes the slope if the intercept is penalized, else not."""
    here, there = fit(X, LABELS)[0], fit(X + 3, LABELS)[0]
    return "free" if np.isclose(here, there, rtol=2e-2) else "**penalized**"


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return the kind of loss, the default penalty and the intercept of each model."""
    exact = {"tol": 1e-10, "max_iter": 100_000}
    ridge, logistic = Ridge(), LogisticRegression(**exact)
    liblinear = LogisticRegression(solver="liblinear", **exact)
    linear_svc, svc = LinearSVC(**exact), SVC(kernel="linear", tol=1e-8)
    bound = SVC(kernel="linear", tol=1e-8, C=0.05)  # so strong a penalty that it decides
    squares = of_sklearn(LinearRegression())
    if not np.isclose(squares(X, LABELS)[0], np.polyfit(X, LABELS, 1)[0]):
        raise LookupError("LinearRegression is not the line of least squares")
    decay = torch.optim.SGD([torch.zeros(1)]).defaults["weight_decay"]
    hinge = {"squared_hinge": "squared hinge", "hinge": "hinge"}[linear_svc.loss]
    return {
        "`LinearRegression`": ("squares", "none", intercept_words(squares)),
        "`Ridge`": (
            f"squares, {loss_words(of_sklearn(ridge))}",
            f"`alpha={ridge.alpha:g}`",
            intercept_words(of_sklearn(ridge)),
        ),
        "`LogisticRegression`": (
            f"logistic, {loss_words(of_sklearn(logistic))}",
            f"`C={logistic.C:g}`",
            intercept_words(of_sklearn(logistic)),
        ),
        '… `(solver="liblinear")`': (
            f"logistic, {loss_words(of_sklearn(liblinear))}",
            f"`C={liblinear.C:g}`",
            intercept_words(of_sklearn(liblinear)),
        ),
        "`SVC`": (
            f"hinge, {loss_words(of_sklearn(bound))}",
            f"`C={svc.C:g}`",
            intercept_words(of_sklearn(bound)),
        ),
        "`LinearSVC`": (
            f"**{hinge}**, {loss_words(of_sklearn(linear_svc))}",
            f"`C={linear_svc.C:g}`",
            intercept_words(of_sklearn(linear_svc)),
        ),
        "PyTorch, `SGD(weight_decay=…)`": (
            f"yours; here {loss_words(of_torch)}",
            f"`weight_decay={decay:g}`",
            intercept_words(of_torch),
        ),
    }
