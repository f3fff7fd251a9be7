import numpy as np
import pytest
import torch

from dlkb.experiments.ambiguous_word import (
    BANK,
    LENGTH,
    MASK,
    TOPICS,
    VOCABULARY,
    contexts,
    draw_encoder,
    encode,
    likeness,
    predict,
    pretrain,
    sentences,
    word2vec,
)
from tests.close import assert_close


def test_a_sentence_has_one_topic_and_the_word():
    drawn = sentences(np.random.default_rng(0), seeds=3, count=200)
    assert drawn.shape == (3, 200, LENGTH)
    assert ((drawn == BANK).sum(-1) == 1).all()
    assert (drawn != MASK).all()
    first, second = (torch.isin(drawn, torch.tensor(list(topic))).sum(-1) for topic in TOPICS)
    assert set(first.unique().tolist()) == {0, LENGTH - 1}
    assert (first + second == LENGTH - 1).all()
    assert set(drawn.unique().tolist()) == set(range(1, VOCABULARY))
    assert len((drawn == BANK).int().argmax(-1).unique()) == LENGTH


@pytest.mark.parametrize("place", [0, 3, 6])
def test_contexts_hold_what_is_asked_for(place):
    for exchanged in range(LENGTH):
        drawn = contexts(np.random.default_rng(0), exchanged=exchanged, count=50, place=place)
        assert (drawn[:, place] == BANK).all()
        assert (torch.isin(drawn, torch.tensor(list(TOPICS[1]))).sum(-1) == exchanged).all()
    mixed = contexts(np.random.default_rng(0), exchanged=3, count=50, place=place)
    assert len({tuple(row.tolist()) for row in (mixed >= 10)}) > 5


def test_the_encoder_is_a_block_of_pytorch():
    encoder = draw_encoder(seeds=2, d=8, seed=3)
    block = torch.nn.TransformerEncoderLayer(
        8, 1, 32, 0.0, "gelu", batch_first=True, norm_first=True, bias=False, dtype=torch.float64
    )
    tokens = sentences(np.random.default_rng(1), seeds=2, count=4)
    causal = torch.nn.Transformer.generate_square_subsequent_mask(LENGTH, dtype=torch.float64)
    for s in range(2):
        qkvo = encoder.qkvo[s]
        with torch.no_grad():
            block.self_attn.in_proj_weight.copy_(torch.cat([*qkvo[:3].mT]))
            block.self_attn.out_proj.weight.copy_(qkvo[3].T)
            block.linear1.weight.copy_(encoder.up[s].T)
            block.linear2.weight.copy_(encoder.down[s].T)
            x = encoder.word[s][tokens[s]] + encoder.position[s]
            assert_close(encode(encoder, tokens)[s], block(x))
            assert_close(encode(encoder, tokens, causal=True)[s], block(x, src_mask=causal))
    assert_close(encode(encoder, tokens[0])[1], encode(encoder, tokens[[0, 0]])[1])
    assert predict(encoder, tokens).shape == (2, 4, LENGTH, VOCABULARY)


def test_seeds_are_those_of_single_draws():
    many, one = draw_encoder(seeds=3, seed=4), draw_encoder(seeds=1, seed=6)
    for part, alone in zip(many, one, strict=True):
        assert_close(part[2], alone[0])


def test_masked_training_tells_the_meanings_apart():
    start = draw_encoder(seeds=10)
    losses = []
    for trained, loss in pretrain(start, steps=80):  # noqa: B007
        losses.append(loss.mean())
    assert losses[-1] < 0.75 * losses[0]
    assert (start.word == draw_encoder(seeds=10).word).all()
    same, other = (likeness(trained, exchanged=k) for k in (0, 6))
    assert same.median() > 0.9
    assert (other < same - 0.5).sum() >= 9
    assert (likeness(trained, exchanged=6, causal=True) > 1 - 1e-12).all()


def test_left_only_training_tells_them_apart_where_there_is_a_left_side():
    for trained, loss in pretrain(draw_encoder(seeds=10), steps=60, causal=True):  # noqa: B007
        pass
    assert loss.mean() < 2.6
    first, last = (likeness(trained, exchanged=6, place=p, causal=True) for p in (0, 6))
    assert (first > 1 - 1e-12).all()
    assert (last < 0.6).sum() >= 8


def test_static_vectors_lie_with_both_topics():
    vectors = torch.nn.functional.normalize(word2vec(seeds=10, steps=150), dim=-1)
    topics = [vectors[:, list(topic)].mean(1) for topic in TOPICS]
    of_bank, of_word = (
        torch.stack([torch.cosine_similarity(vectors[:, w], t, dim=-1) for t in topics])
        for w in (BANK, TOPICS[0][0])
    )
    assert (of_word[0] > 0.9).all()
    assert (of_word[1] < 0.4).all()
    assert (of_bank.max(0).values < 0.6).all()
    assert ((of_bank[0] - of_bank[1]).abs() < 0.4).all()


def test_weights_keep_the_size_of_their_inputs():
    drawn = draw_encoder(seeds=50)
    squares = [16 * part.square().mean().item() for part in drawn]
    np.testing.assert_allclose(squares, [1, 1, 1, 1, 0.25], rtol=0.03)


def test_a_step_without_a_masked_word_leaves_numbers():
    found = list(pretrain(draw_encoder(seeds=6), steps=4, batch=1))
    losses = torch.stack([loss for _, loss in found])
    assert (losses == 0).any()
    assert losses.isfinite().all()
    assert all(part.isfinite().all() for part in found[-1][0])
