import numpy as np
import pytest
import torch

from dlkb.experiments.positions import (
    LONGEST,
    WIDTH,
    overlap,
    pattern,
    start,
    train_head,
    weights,
)


def test_patterns():
    three = pattern("three back", 6)
    assert three.argmax(-1).tolist() == [0, 0, 0, 0, 1, 2]
    recent = pattern("recent", 6)
    assert torch.allclose(recent.sum(-1), torch.ones(6, dtype=torch.float64))
    assert np.allclose(recent[5, :-1] / recent[5, 1:], 0.8)
    assert not recent.triu(1).any()


@pytest.mark.parametrize("encoding", ["none", "learned", "sinusoidal", "rotary", "alibi"])
def test_weights_are_causal_and_windows_hold(encoding):
    found = weights(start(encoding, seeds=3), 9)
    assert found.shape == (3, 9, 9)
    assert torch.allclose(found.sum(-1), torch.ones((), dtype=torch.float64))
    assert not found.triu(1).any()
    near = weights(start(encoding, seeds=3), 9, window=2)
    assert not near.tril(-2).any()
    assert near[..., 5, 4].min() > 0


@pytest.mark.parametrize("encoding", ["none", "learned", "sinusoidal", "rotary", "alibi"])
def test_the_last_queries_are_the_foot_of_all(encoding):
    head = start(encoding, seeds=2)
    for window in (None, 7):
        whole = weights(head, 20, window=window, stretch=0.5)
        assert torch.allclose(weights(head, 20, window=window, stretch=0.5, last=4), whole[:, -4:])


def test_relative_encodings_give_weights_by_distance_alone():
    for encoding in ("rotary", "alibi"):
        found = weights(start(encoding, seeds=2), 9, window=3)
        assert torch.allclose(found[..., 5, 3:6], found[..., 8, 6:9])
    for encoding in ("learned", "sinusoidal"):
        found = weights(start(encoding, seeds=2), 9, window=3)
        assert not torch.allclose(found[..., 5, 3:6], found[..., 8, 6:9])


def test_stretched_positions_are_fractions():
    head = start("rotary", seeds=2)
    far = weights(head, 9, stretch=0.5)
    q, k = head.q[0, 0], head.k[0, 0]
    index = torch.arange(WIDTH // 2, dtype=torch.float64)
    turned = 0.5 * 10_000.0 ** (-2 * index / WIDTH)
    cos, sin = turned.cos(), turned.sin()
    a, b = k.chunk(2)
    back = torch.cat([a * cos + b * sin, b * cos - a * sin])  # one step before
    gap = (q @ back - q @ k) / WIDTH**0.5
    assert (far[0, 1, 0] / far[0, 1, 1]).log().item() == pytest.approx(gap.item())


def test_the_overlap_is_one_where_weights_are_the_pattern():
    head = start("none", seeds=1)
    assert overlap(head, "three back", 100).item() == pytest.approx(
        np.mean([1 / n for n in range(85, 101)])
    )


def test_heads_learn_and_what_they_keep_outside():
    heads = {e: train_head(e, "three back", seeds=3) for e in ("learned", "rotary", "sinusoidal")}
    assert all(overlap(head, "three back", 32).min() > 0.95 for head in heads.values())
    assert overlap(heads["learned"], "three back", 64).max() < 0.1
    assert overlap(heads["rotary"], "three back", LONGEST).min() > 0.85
    assert overlap(heads["rotary"], "three back", 64, stretch=0.5).max() < 0.1
    recent = train_head("rotary", "recent", seeds=3)
    assert overlap(recent, "recent", LONGEST).max() < 0.8
    assert overlap(recent, "recent", LONGEST, window=32).min() > 0.95
    assert overlap(train_head("alibi", "three back"), "three back", 32).max() < 0.2


def test_only_the_rows_of_a_table_that_were_trained_move():
    head, first = train_head("learned", "recent", steps=2, seeds=2), start("learned", seeds=2)
    moved = (head.table != first.table).any(-1)
    assert moved[:, :32].all()
    assert not moved[:, 32:].any()


def test_heads_trained_at_another_length_keep_more():
    for name in ("three back", "recent"):
        head = train_head("rotary", name, length=64, steps=200, seeds=3)
        assert overlap(head, name, LONGEST).min() > 0.8
        assert overlap(head, name, LONGEST, window=64).min() > 0.9
        learned = train_head("learned", name, length=64, steps=200, seeds=3)
        assert overlap(learned, name, 64).min() > 0.9
        assert overlap(learned, name, 128).max() < 0.4
