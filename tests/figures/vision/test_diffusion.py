import numpy as np
import pytest

from dlkb.experiments.denoisers import moons
from dlkb.vision.noise_schedules import cosine_beta
from scripts.figures.vision import diffusion as figures
from tests.figures.drawn import assert_draws


def test_walks_start_alike_and_end_near_the_moons():
    walks = figures.moon_walks()
    assert walks[0.0].shape == walks[1.0].shape == (21, 180, 2)
    np.testing.assert_array_equal(walks[0.0][0], walks[1.0][0])
    assert figures.near(walks[0.0][0]) < 0.45
    for walk in walks.values():
        assert figures.near(walk[-1]) > 0.8
        # Both moons are found, by a share of samples that is not far from a half.
        assert 0.3 < (walk[-1][:, 0] < 0).mean() < 0.7


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_each_frame_says_the_share_near_a_moon(eta):
    drawn = figures.from_noise()
    for step in figures.SHOWN:
        said = drawn.show(step, eta)
        share = 100 * figures.near(figures.moon_walks()[eta][step])
        assert said == f"After {step} of 20 steps {share:.0f} % are near a moon."


def test_from_noise_draws_the_last_state_over_the_data():
    x, y = moons(250, seed=3).T
    samples = figures.moon_walks()[0.0][-1].T
    assert_draws(
        figures.from_noise(),
        lines={"data": (x, y), "samples": tuple(samples)},
        legend=["data", "samples"],
    )


def test_no_sample_leaves_the_axes():
    for walk in figures.moon_walks().values():
        inside = (abs(walk) < [2.9, 2.5]).all(-1)
        assert inside.mean() > 0.98
        assert inside[-1].all()


def test_schedules_are_those_of_the_formulas():
    share = figures.cosine(1000)
    np.testing.assert_allclose(
        1 - share[1:] / share[:-1], cosine_beta(np.arange(1.0, 1001), steps=1000), rtol=1e-6
    )
    assert figures.linear(1000)[-1] == pytest.approx(4.04e-5, rel=0.01)
    t = np.arange(1, 1001)
    kept = {
        name: f(1000)[1:] for name, f in (("linear", figures.linear), ("cosine", figures.cosine))
    }
    figure = figures.schedules()
    assert_draws(
        figure,
        panel=0,
        lines={name: (t, share) for name, share in kept.items()},
        texts=["linear", "cosine"],
        xlabel="step t",
        title="share of the data ᾱ",
    )
    assert_draws(
        figure,
        panel=1,
        lines={name: (t, share / (1 - share)) for name, share in kept.items()},
        legend=["linear", "cosine"],
        title="signal by noise ᾱ / (1 − ᾱ)",
    )


def test_the_other_reading_of_the_notes_is_ddpm_up_to_the_root_of_alpha():
    x, noise, z = np.random.default_rng(0).normal(size=(3, 4))
    ours = figures.notes_step(x, noise, 0 * z, 0.3, 0.5, total=False)
    ddpm = figures.STEPS["DDPM"](x, noise, 0 * z, 0.3, 0.5)
    np.testing.assert_allclose(ours, ddpm * 0.6**0.5)
    fresh = figures.notes_step(x, noise, z, 0.3, 0.5, total=True)
    np.testing.assert_allclose(fresh, x - 0.4**0.5 * (noise - z))
    last = figures.notes_step(x, noise, z, 0.3, 1.0, total=True)
    np.testing.assert_allclose(last, x - 0.7**0.5 * noise)


def test_reverse_steps_draws_three_laws():
    t = np.arange(1000, -1, -1)
    figure = figures.reverse_steps()
    names = [*figures.STEPS, "data"]
    for panel, row, end, title, legend in (
        (0, 1, 0.5, "standard deviation", names),
        (1, 0, 2.0, "mean", None),
    ):
        assert_draws(
            figure,
            panel=panel,
            lines={name: (t, law[row]) for name, law in figures.laws().items()}
            | {"data": ([0], [end])},
            legend=legend,
            xlabel="step t",
            title=title,
        )


def test_sheets_hold_each_image():
    images = figures.generated()[1.0]
    laid = figures.sheet(images)
    np.testing.assert_array_equal(laid[9:17, 18:26], images[8 + 2].reshape(8, 8))
    assert_draws(
        figures.digit_samples(),
        images={f"s = {scale:g}": figures.sheet(x) for scale, x in figures.generated().items()},
    )
    assert all(abs(x).max() <= 1 + 1e-6 for x in figures.generated().values())
