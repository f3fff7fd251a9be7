import numpy as np
import pytest
import torch

from dlkb.experiments.noisy_labels import follow
from dlkb.experiments.rules import adam_rule

RULE = adam_rule(lr=0.03)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_entry_s_is_the_run_of_seed_s():
    options = {"noise": 0.4, "images": 30, "rule": RULE, "steps": 5, "dtype": "float64"}
    together, alone = follow(seeds=3, **options), follow(seeds=1, seed=2, **options)
    for curve, row in zip(together, alone, strict=True):
        np.testing.assert_allclose(curve[2], row[0], rtol=1e-9)


def test_true_labels_have_no_wrong_ones_and_agree_with_the_test():
    curves = follow(noise=0.0, images=200, rule=RULE, steps=60)
    assert np.isnan(curves.wrong).all()
    assert (curves.right[:, -1] > 0.99).all()
    assert abs(curves.val_accuracy[:, -1].mean() - curves.test_accuracy[:, -1].mean()) < 0.02
    assert abs(curves.val_loss[:, -1].mean() - curves.test_loss[:, -1].mean()) < 0.05


def test_noise_is_in_training_and_validation_alone():
    # Of random labels nothing is learnt: a tenth of the true ones is hit, and of the validation's.
    curves = follow(noise=1.0, images=100, rule=RULE, steps=60)
    assert (np.minimum(curves.right, curves.wrong)[:, -1] == 1).all()
    assert abs(curves.test_accuracy[:, -1].mean() - 0.1) < 0.03
    # A network that knows the digits misses the validation labels that were drawn anew.
    knowing = follow(noise=0.4, images=800, rule=adam_rule(lr=0.01), steps=60)
    assert knowing.test_accuracy[:, -1].mean() > 0.85
    assert abs(knowing.val_accuracy[:, -1].mean() - (1 - 0.4 * 0.9)) < 0.1
    assert (knowing.wrong[:, -1] < 0.3).all()
    # The loss at the start is that of ten guesses or a little more, for every part.
    for loss in knowing[:3]:
        assert (loss[:, 0] > 2.2).all()
        assert (loss[:, 0] < 4).all()


def test_arguments_out_of_range():
    with pytest.raises(ValueError, match="noise"):
        follow(noise=1.5, images=10, rule=RULE, steps=1)
    with pytest.raises(ValueError, match="steps is 0"):
        follow(noise=0.5, images=10, rule=RULE, steps=0)
