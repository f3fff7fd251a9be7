import numpy as np
import pytest

from dlkb.experiments.digit_pairs import PAIRS, align, kept_out

SMALL = {"steps": 40, "batch": 32, "seeds": 2}


def test_a_fifth_is_kept_out_and_each_digit_remains_in_each_place():
    first, second = np.divmod(np.arange(PAIRS), 10)
    out = kept_out(first, second)
    assert out.sum() == 20
    for digits in (first, second):
        assert (np.bincount(digits[out], minlength=10) == 2).all()


def test_it_names_pairs_that_it_never_saw():
    found = align(seeds=3)
    assert (found.seen > 0.7).all()
    assert (found.unseen > 0.5).all()  # chance is 0.01
    assert (found.unseen < found.seen).all()
    assert (found.loss[:, -1] < 0.4 * found.loss[:, 0]).all()
    own = np.diagonal(found.cosines, axis1=1, axis2=2)
    assert (own.mean(1) > found.cosines.mean((1, 2)) + 0.5).all()


def test_entry_s_is_the_run_of_seed_plus_s():
    both, alone = align(**SMALL), align(**SMALL | {"seeds": 1, "seed": 1})
    np.testing.assert_allclose(both.loss[1], alone.loss[0], rtol=1e-3)
    assert abs(both.unseen[1] - alone.unseen[0]) < 0.05
    assert not np.allclose(both.loss[0], both.loss[1])


def test_a_cold_start_names_worse_for_a_time():
    lead = []
    for steps in (100, 400):
        warm, cold = (
            align(temperature=tau, learned=False, seeds=3, steps=steps) for tau in (1.0, 0.01)
        )
        lead.append(np.median(warm.unseen) - np.median(cold.unseen))
        assert np.median(warm.loss[:, -10:]) > 2 * np.median(cold.loss[:, -10:])
    assert lead[0] > 0.1 > 0.05 > lead[1]
    learned = align(seeds=3, steps=400)
    for run in (warm, cold):
        assert (learned.seen > run.seen).all()
        assert (learned.unseen > run.unseen).all()


@pytest.mark.parametrize("learned", [True, False])
def test_the_temperature_moves_where_it_is_learned(learned):
    found = align(temperature=0.2, learned=learned, **SMALL)
    assert np.allclose(found.temperature, 0.2, rtol=1e-5) == (not learned)
    assert (found.temperature < 0.2).all() == learned


def test_the_temperature_has_a_floor():
    found = align(temperature=0.005, **SMALL)
    assert (found.temperature >= 0.01 - 1e-6).all()


def test_a_temperature_that_is_not_learned_stays_below_the_floor():
    found = align(temperature=0.005, learned=False, **SMALL)
    np.testing.assert_allclose(found.temperature, 0.005, rtol=1e-5)


def test_few_pairs_are_drawn_until_there_are_enough():
    found = align(batch=2, steps=1, seeds=60)
    assert found.loss.shape == (60, 1)


def test_siglip_starts_with_its_bias_and_learns():
    found = align(loss="siglip", temperature=0.1, **SMALL)
    assert (found.loss[:, 0] < 20).all()  # 32 log 2 = 22 without the bias
    assert (found.loss[:, -1] < 0.7 * found.loss[:, 0]).all()
    assert (found.seen > 0.1).all()


def test_equal_at_the_start_is_chance():
    found = align(temperature=1e6, learned=False, steps=1, batch=32, seeds=2)
    np.testing.assert_allclose(found.loss[:, 0], np.log(32), rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "triplet"}, "loss is 'triplet': it must be one of"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"batch": 1}, "batch is 1"),
        ({"steps": 0}, "steps is 0"),
        ({"width": 0}, "width is 0"),
        ({"seeds": 0}, "seeds is 0"),
    ],
)
def test_errors_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        align(**options)
