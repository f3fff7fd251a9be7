"""What boosting libraries do unless told otherwise, found by training them and asking trees."""

import json
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import xgboost
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

LIBRARIES = ("xgboost-cpu", "lightgbm", "scikit-learn")

Vector = NDArray[np.float64]

STAIRS = np.arange(8.0)
STEPS = np.asarray([0.0, 0.0, 0.0, 1.0, 100.0, 110.0, 150.0, 170.0])
QUIET = {"verbose": -1, "num_threads": 1}


def of_xgboost(x: Vector, y: Vector, **params: Any) -> Vector:
    """Predict with one tree of XGBoost, without shrinkage and start."""
    data = xgboost.DMatrix(x[:, None], y)
    given = {"eta": 1.0, "lambda": 0.0, "base_score": 0.0, "nthread": 1, "min_child_weight": 0.0}
    return np.asarray(xgboost.train(given | params, data, num_boost_round=1).predict(data))


def of_lightgbm(x: Vector, y: Vector, *, trees: int = 1, **params: Any) -> Vector:
    """Predict with one tree of LightGBM, likewise."""
    given = {
        "objective": "regression", "boost_from_average": False, "learning_rate": 1.0,
        "min_data_in_leaf": 1, "min_data_in_bin": 1, "min_sum_hessian_in_leaf": 0.0,
    }  # fmt: skip
    data = lightgbm.Dataset(x[:, None], y)
    booster = lightgbm.train(given | QUIET | params, data, num_boost_round=trees)
    return np.asarray(booster.predict(x[:, None]))


def of_sklearn(x: Vector, y: Vector, **params: Any) -> Vector:
    """Predict with one tree of scikit-learn's histogram boosting, likewise."""
    given = {"learning_rate": 1.0, "max_iter": 1, "min_samples_leaf": 1, "early_stopping": False}
    model = HistGradientBoostingRegressor(**(given | params)).fit(x[:, None], y)
    return np.asarray(model.predict(x[:, None]))


def growth(fit: Callable[..., Vector], option: str) -> str:
    """Four leaves: by level each half is split once, by gain the upper half twice."""
    counts = np.unique(np.round(fit(STAIRS, STEPS, **{option: 4}), 1), return_counts=True)[1]
    return {(4, 2, 1, 1): "leaf by leaf", (3, 1, 2, 2): "level by level"}[tuple(counts)]


def threshold(fit: Callable[..., Vector], option: str) -> str:
    """Two examples ±1: the gain with its half is 1, twice that is 2."""
    x, y = np.asarray([0.0, 1.0]), np.asarray([-1.0, 1.0])
    splits = [bool(np.ptp(fit(x, y, **{option: limit})) > 0) for limit in (0.9, 1.9, 2.1)]
    factor = {2: "2", 1: "1"}[sum(splits)]
    return f"`{option}`: {factor} × gain"


def sampling() -> str:
    """LightGBM sees all rows by default; GOSS trains another model."""
    rng = np.random.default_rng(0)
    x = rng.random(2000)
    y = np.sin(9 * x) + rng.normal(size=2000)
    default, every, goss = (
        of_lightgbm(x, y, trees=12, learning_rate=0.3, **options)
        for options in (
            {},
            {"data_sample_strategy": "bagging", "bagging_fraction": 1.0},
            {"data_sample_strategy": "goss"},
        )
    )
    if not np.allclose(default, every) or np.allclose(default, goss):
        raise LookupError("LightGBM samples rows by default, or GOSS changes nothing")
    return 'all; `data_sample_strategy="goss"`'


def least_hessian() -> str:
    """scikit-learn has no option for it: weigh 20 rows on either side just above and below it."""
    x, limit = (np.arange(40) > 19) * 1.0, 1e-3
    model = HistGradientBoostingRegressor(early_stopping=False)
    splits = [
        np.ptp(model.fit(x[:, None], x, np.full(40, h / 20)).predict([[0], [1]])) > 0
        for h in (0.9 * limit, 1.1 * limit)
    ]
    if splits != [False, True]:
        raise LookupError(f"HistGradientBoosting… does not ask for H ≥ {limit}: {splits}")
    return f"H ≥ {limit:g}"


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return how each library grows, its defaults, and what the gain is compared with."""
    data = xgboost.DMatrix(STAIRS[:, None], STAIRS)
    config = json.loads(xgboost.train({"nthread": 1}, data, num_boost_round=1).save_config())
    tree = config["learner"]["gradient_booster"]["tree_train_param"]
    light = lightgbm.LGBMRegressor().get_params()
    hist = HistGradientBoostingRegressor().get_params()
    depth = {-1: "any"}.get(light["max_depth"], light["max_depth"])
    hist_depth = "any" if hist["max_depth"] is None else hist["max_depth"]
    return {
        "XGBoost": (
            growth(of_xgboost, "max_leaves"),
            f"depth {tree['max_depth']}",
            f"{float(tree['eta']):.1g}",
            f"{float(tree['lambda']):g}",
            threshold(of_xgboost, "gamma"),
            f"H ≥ {float(tree['min_child_weight']):g}",
            "all" if float(tree["subsample"]) == 1 else "sampled",
        ),
        "LightGBM": (
            growth(of_lightgbm, "num_leaves"),
            f"{light['num_leaves']} leaves, depth {depth}",
            f"{light['learning_rate']:g}",
            f"{light['reg_lambda']:g}",
            threshold(of_lightgbm, "min_gain_to_split"),
            f"{light['min_child_samples']} rows, H ≥ {light['min_child_weight']:g}",
            sampling(),
        ),
        "scikit-learn `HistGradientBoosting…`": (
            growth(of_sklearn, "max_leaf_nodes"),
            f"{hist['max_leaf_nodes']} leaves, depth {hist_depth}",
            f"{hist['learning_rate']:g}",
            f"{hist['l2_regularization']:g}",
            "–",
            f"{hist['min_samples_leaf']} rows, {least_hessian()}",
            "all",
        ),
    }
