import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dlkb.experiments.digits import digits, turned
from dlkb.experiments.finetuning import finetune, pretrained, rotated
from dlkb.experiments.networks import layers
from dlkb.experiments.rules import adam_rule
from dlkb.experiments.training import train

SMALL = pretrained(width=16, seeds=3, dtype="float64")
RATES = (0.003, 0.01)


def test_the_tasks_share_no_image():
    start = pretrained(width=16, old=60, new=40, seeds=2)
    split = digits(train=100, seeds=2, dtype="float32")
    assert np.array_equal(start.old.x_train, split.x_train[:, :60])
    assert np.array_equal(start.new.x_train, turned(split.x_train[:, 60:]))
    assert np.array_equal(start.new.x_test, turned(start.old.x_test))
    assert np.array_equal(start.new.y_train, split.y_train[:, 60:])


@pytest.mark.parametrize("angle", [0, 90, 180, -90])
def test_a_turn_by_any_angle_is_that_of_quarters(angle):
    images = digits(train=20).x_train
    assert np.allclose(rotated(images, angle=angle), turned(images, quarters=angle // 90))
    start = pretrained(width=16, old=60, new=40, angle=15, seeds=2)
    split = digits(train=100, seeds=2, dtype="float32")
    assert np.array_equal(start.new.x_train, rotated(split.x_train[:, 60:], angle=15))
    assert np.array_equal(start.new.x_test, rotated(start.old.x_test, angle=15))
    assert start.new.x_train.dtype == np.float32


@pytest.mark.parametrize("factors", [(0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 1.0)])
def test_a_factor_of_zero_freezes_a_layer(factors):
    tuned = finetune(SMALL, rates=RATES, steps=12, batch=50, factors=factors)
    trained = [k for k, factor in enumerate(factors) if factor]
    for i, lr in enumerate(RATES):
        run = train(
            SMALL.networks, SMALL.new, rule=adam_rule(lr=lr), steps=12, batch=50, trained=trained
        )
        assert torch.allclose(tuned.theta[i], run.networks.theta, rtol=0, atol=1e-10)


def test_factors_scale_the_first_step_of_adam_by_layer():
    tuned = finetune(SMALL, rates=(0.01,), steps=1, factors=(0.25, 0.5, 1.0))
    after = layers(SMALL.networks._replace(theta=tuned.theta[0]))
    moves = [
        (a.bias - b.bias).abs().max() for a, b in zip(after, layers(SMALL.networks), strict=True)
    ]
    assert np.allclose(moves, [0.0025, 0.005, 0.01], rtol=1e-3)


@pytest.mark.parametrize("options", [{"factors": (1.0, 1.0)}, {"factors": (1.0,) * 3, "r": 2}])
def test_factors_are_checked(options):
    with pytest.raises(ValueError, match="one for each of 3 layers is needed"):
        finetune(SMALL, rates=RATES, **options)


@pytest.mark.parametrize("head_only", [False, True])
def test_tuning_without_lora_is_training(head_only):
    tuned = finetune(SMALL, rates=RATES, steps=12, batch=50, head_only=head_only)
    for i, lr in enumerate(RATES):
        trained = [2] if head_only else None
        rule = adam_rule(lr=lr)
        run = train(SMALL.networks, SMALL.new, rule=rule, steps=12, batch=50, trained=trained)
        assert torch.allclose(tuned.theta[i], run.networks.theta, rtol=0, atol=1e-10)
        assert np.array_equal(tuned.new_error[i], 1 - run.test_accuracy[:, -1])


def test_a_head_beside_lora_is_trained_as_the_factors_are():
    tuned = finetune(SMALL, rates=RATES, r=3, head=True, steps=1)
    before = layers(SMALL.networks)
    for theta, rate in zip(tuned.theta, RATES, strict=True):
        after = layers(SMALL.networks._replace(theta=theta))
        moved = (after[-1].weight - before[-1].weight).abs()
        assert np.allclose(moved.amax((1, 2)), rate, rtol=1e-3)  # the first step of Adam
        assert torch.equal(after[0].bias, before[0].bias)
    alone = finetune(SMALL, rates=RATES, r=3, steps=1).theta
    head = SMALL.networks.theta.shape[1] - 17 * 10
    assert torch.equal(tuned.theta[..., :head], alone[..., :head])
    with pytest.raises(ValueError, match="head is True and r is None"):
        finetune(SMALL, rates=RATES, head=True)


@pytest.mark.parametrize("rule", ["lora", "rslora"])
def test_lora_is_that_of_a_loop_over_torch_modules(rule):
    rate, r, alpha, batch, steps = 0.01, 2, 6.0, 50, 8
    tuned = finetune(SMALL, rates=(rate,), r=r, alpha=alpha, rule=rule, steps=steps, batch=batch)
    scaling = alpha / (r if rule == "lora" else r**0.5)
    after = layers(SMALL.networks._replace(theta=tuned.theta[0]))
    before = layers(SMALL.networks)
    s = 1
    generator = np.random.default_rng([2, s])
    factors = []
    for weight, _ in before[:-1]:
        fan_in, fan_out = weight.shape[1:]
        A = (2 * generator.random((r, fan_in)) - 1) / fan_in**0.5
        factors.append([torch.tensor(A), torch.zeros(fan_out, r, dtype=torch.float64)])
    flat = [f.requires_grad_() for pair in factors for f in pair]
    optimizer = torch.optim.Adam(flat, lr=rate)
    x, y = torch.tensor(SMALL.new.x_train[s]), torch.tensor(SMALL.new.y_train[s])

    def weights():
        pairs = zip(before[:-1], factors, strict=True)
        return [w[s].detach() + scaling * (B @ A).T for (w, _), (A, B) in pairs]

    generator = np.random.default_rng([1, s])
    order = np.concatenate([generator.permutation(300) for _ in range(2)])
    for step in range(steps):
        rows = order[step * batch : (step + 1) * batch]
        h = x[rows]
        for W, layer in zip(weights(), before, strict=False):
            h = torch.relu(h @ W + layer.bias[s].detach())
        loss = F.cross_entropy(h @ before[-1].weight[s] + before[-1].bias[s], y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for W, layer in zip(weights(), after, strict=False):
        assert torch.allclose(layer.weight[s], W.detach(), rtol=0, atol=1e-9)


def test_lora_leaves_the_rest_and_changes_by_rank_r():
    tuned = finetune(SMALL, rates=RATES, r=3, steps=10)
    before = layers(SMALL.networks)
    for theta in tuned.theta:
        after = layers(SMALL.networks._replace(theta=theta))
        assert torch.equal(after[-1].weight, before[-1].weight)
        for new, old in zip(after, before, strict=True):
            assert torch.equal(new.bias, old.bias)
        for new, old in zip(after[:-1], before[:-1], strict=True):
            ranks = torch.linalg.matrix_rank(new.weight - old.weight, rtol=1e-9)
            assert ranks.tolist() == [3, 3, 3]


def test_no_step_changes_nothing():
    for options in ({}, {"r": 4}, {"r": 4, "head": True}, {"head_only": True}):
        tuned = finetune(SMALL, rates=RATES, steps=0, **options)
        assert torch.equal(tuned.theta[1], SMALL.networks.theta)


@pytest.mark.parametrize("width", [32, 64])
def test_lora_forgets_less_half_way_and_both_forget_at_a_large_rate(width):
    start = pretrained(width=width)
    full = finetune(start, rates=(0.001, 0.01))
    low = finetune(start, rates=(0.003, 0.01), r=16)
    assert abs(full.new_error[0].mean() - low.new_error[0].mean()) < 0.1
    assert (low.old_error[0] < full.old_error[0]).mean() >= 0.8
    assert low.old_error[0].mean() < full.old_error[0].mean() - 0.1
    assert min(low.old_error[1].mean(), full.old_error[1].mean()) > 0.4


def test_rank_and_batch_are_checked():
    with pytest.raises(ValueError, match="steps is -1"):
        finetune(SMALL, rates=RATES, steps=-1)
    with pytest.raises(ValueError, match="batch is 301"):
        finetune(SMALL, rates=RATES, batch=301)
    with pytest.raises(ValueError, match="r is 0"):
        finetune(SMALL, rates=RATES, r=0)


def test_images_are_counted_and_floating_point():
    with pytest.raises(ValueError, match=r"old \+ new is 1800"):
        pretrained(old=1500, new=300, seeds=1)
    for options, message in (({"old": 0}, "old is 0"), ({"new": -1}, "new is -1")):
        with pytest.raises(ValueError, match=message):
            pretrained(seeds=1, **options)
    with pytest.raises(TypeError, match="images has dtype int64"):
        rotated(np.arange(64), angle=90)
