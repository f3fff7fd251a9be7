import math

import numpy as np
import pytest
import torch

from dlkb.experiments.small_gpt import HEADS, draw_gpt, encode, parameters, train_gpt, write
from dlkb.experiments.tokenizers import zen
from dlkb.transformers.block_counts import block_parameters
from dlkb.transformers.gpt import gpt


def test_it_learns_the_zen_of_python():
    tokens, alphabet = encode(zen())
    model = draw_gpt(vocabulary=len(alphabet))
    losses = list(train_gpt(model, tokens, steps=150))
    assert abs(losses[0] - math.log(len(alphabet))) < 0.6
    assert np.mean(losses[-10:]) < 1.5


def test_letters_are_numbered_and_come_back():
    tokens, alphabet = encode("to be")
    assert alphabet == " beot"
    assert "".join(alphabet[i] for i in tokens) == "to be"


def test_parameters_are_counted_once_and_are_the_tensors():
    model = draw_gpt(vocabulary=7, width=8, layers=3, length=5)
    found = parameters(model)
    blocks = 3 * block_parameters(width=8)
    assert sum(p.numel() for p in found) == blocks + (7 + 5) * 8 + 16
    assert found[0] is model.word
    assert found[-1] is model.norm.bias


def test_what_is_added_starts_small():
    one, many = (draw_gpt(vocabulary=9, layers=n).blocks[0] for n in (1, 16))
    for part in ("attention", "feed_forward"):
        first = getattr(one, part)
        deep = getattr(many, part)
        last = (first.o, deep.o) if part == "attention" else (first.down, deep.down)
        ratio = last[0].weight.std() / last[1].weight.std()
        assert abs(ratio - 4) < 0.4
    assert abs(one.attention.q.weight.std() / many.attention.q.weight.std() - 1) < 0.1


def test_training_changes_all_parameters_in_place():
    tokens, alphabet = encode("abcdefg hgfedcba " * 4)
    model = draw_gpt(vocabulary=len(alphabet), width=8, layers=1, length=16)
    before = [p.clone() for p in parameters(model)]
    losses = list(train_gpt(model, tokens, steps=60))
    assert losses[-1] < 0.6 * losses[0]
    key_bias = model.blocks[0].attention.k.bias  # shifts all scores of a query alike
    for old, new in zip(before, parameters(model), strict=True):
        if new is not key_bias:
            assert not torch.equal(old, new)


def test_it_writes_what_it_expects():
    tokens, alphabet = encode("abcd" * 30)
    model = draw_gpt(vocabulary=4, length=8)
    for _ in train_gpt(model, tokens, steps=60):
        pass
    for temperature in (0.0, 0.3):
        text = write(model, tokens[:3], count=20, temperature=temperature)
        assert "".join(alphabet[i] for i in text) == ("abcd" * 6)[:23]
    hot = [write(model, tokens[:3], count=20, temperature=50.0, seed=s) for s in (0, 1)]
    assert not torch.equal(*hot)
    again = write(model, tokens[:3], count=20, temperature=50.0, seed=1)
    assert torch.equal(hot[1], again)


def test_draws_follow_the_softmax():
    model = draw_gpt(vocabulary=3, width=8, layers=1, length=4)
    prompt = torch.tensor([1])
    drawn = [write(model, prompt, count=1, seed=s)[-1].item() for s in range(600)]
    with torch.no_grad():
        p = gpt(prompt, model, heads=HEADS)[-1].softmax(-1)
    shares = np.bincount(drawn, minlength=3) / 600
    np.testing.assert_allclose(shares, p.numpy(), atol=0.07)


def test_a_text_is_longer_than_the_positions_and_may_be_empty_to_number():
    assert encode("")[0].dtype == torch.int64
    model, text = draw_gpt(vocabulary=4, length=8), torch.zeros(8, dtype=torch.int64)
    with pytest.raises(ValueError, match="tokens has 8 entries: it must have more than 8"):
        next(train_gpt(model, text, steps=1))
    assert len(list(train_gpt(model, torch.zeros(9, dtype=torch.int64), steps=1))) == 1
