import numpy as np
from sklearn.cluster import KMeans
from sklearn.neighbors import KNeighborsClassifier

from scripts.figures.classic_ml import neighbours_and_clusters as figures
from tests.figures.drawn import assert_draws


def test_runs_are_those_of_scikit_learn_and_do_not_rise():
    x = figures.plane()
    best = KMeans(4, n_init=20, random_state=0).fit(x).inertia_
    np.testing.assert_allclose(figures.least(), best)
    for start in figures.near():
        data = figures.run(start)
        theirs = KMeans(4, init=data.centers[0], n_init=1, tol=0).fit(x)
        np.testing.assert_allclose(data.inertia[-1], theirs.inertia_)
        assert (np.diff(data.inertia) <= 1e-12).all()


def test_starts_draws_its_frame():
    data, x = figures.run(12), figures.plane()
    groups = {f"group {j}": tuple(x[data.label[-1] == j].T) for j in range(4)}
    explorable = figures.starts()
    assert_draws(
        explorable,
        panel=0,
        lines=groups | {"centers": tuple(data.centers[-1].T)},
        title="points and centers",
    )
    ratio = data.inertia / figures.least()
    assert_draws(
        explorable,
        panel=1,
        lines={"inertia": (np.arange(7), ratio), "this step": ([6], [ratio[6]])},
        xlabel="step",
        title="inertia / best",
    )


def test_seeding_draws_how_many_runs_end_how_well():
    names = ["uniform", "k-means++", "best of 10 uniform"]
    for panel, gap in enumerate(figures.GAPS.values()):
        found = figures.ends(gap)
        assert list(found) == names
        assert min(values[0] for values in found.values()) == 1
        shares = {n: np.arange(1, len(v) + 1) / len(v) for n, v in found.items()}
        assert_draws(
            figures.seeding(),
            panel=panel,
            lines={name: (found[name], shares[name]) for name in names},
            legend=[] if panel else names,
            xlabel="inertia / best",
        )


def test_what_the_page_says_of_starts_is_so_for_other_data():
    worse = 0
    for seed in range(1, 4):
        x, rng = figures.blobs(60.0, seed=seed), np.random.default_rng(seed)
        plain, plus = (
            np.median([
                KMeans(10, init=init, n_init=1, random_state=int(rng.integers(1e6))).fit(x).inertia_
                for _ in range(15)
            ])
            for init in ("random", "k-means++")
        )  # fmt: skip
        worse += plain > 2 * plus
    assert worse == 3


def test_scaling_draws_leave_one_out_accuracy():
    for panel, name in enumerate(figures.SETS):
        raw, standard = figures.accuracy(name)
        assert_draws(
            figures.scaling(),
            panel=panel,
            lines={
                "raw": (figures.NEIGHBOURS, raw),
                "standardized": (figures.NEIGHBOURS, standard),
            },
            xlabel="neighbours k",
            title=name,
        )


def test_accuracy_is_that_of_scikit_learn():
    x, y = figures.load_wine(return_X_y=True)
    hits = [
        KNeighborsClassifier(5).fit(np.delete(x, i, 0), np.delete(y, i)).predict(x[i : i + 1])
        == y[i]
        for i in range(len(x))
    ]
    assert figures.accuracy("wine: mixed units")[0, 4] == np.mean(hits)
