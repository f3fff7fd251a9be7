import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    BertConfig,
    BertModel,
    DataCollatorForLanguageModeling,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2Model,
    PreTrainedTokenizerFast,
)
from transformers.models.bert.modeling_bert import BertEmbeddings

from dlkb.arrays import bernoulli, uniform
from dlkb.losses.cross_entropy import cross_entropy
from dlkb.transformers.pretrained_models import (
    IGNORED,
    bert_embedding,
    mask_tokens,
    negative_sampling,
    negative_sampling_vjp,
    noise_distribution,
)
from tests.cases import Case
from tests.close import assert_close


def vectors(rng):
    return rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.normal(size=(3, 5, 4))


def masking(rng):
    tokens, words = rng.integers(5, 30, size=(2, 3, 7))
    return tokens, rng.random((3, 7)) < 0.5, rng.random((3, 7)), words


def embedding(rng):
    tokens = rng.integers(0, 9, size=(2, 6))
    segments = np.asarray([[0, 0, 0, 0, 1, 1]] * 2)
    tables = [rng.normal(size=(n, 4)) for n in (9, 8, 2)]
    return (tokens, segments, *tables, rng.normal(size=4), rng.normal(size=4)), {}


SCORES = "the scores are products of two vectors: inf − inf, where their terms overflow"
CASES = [
    Case(noise_distribution, lambda rng: ((rng.uniform(1, 9, size=6),), {}), batch=()),
    Case(
        noise_distribution,
        lambda rng: ((rng.uniform(1, 9, size=6),), {"power": 0.5}),
        "power",
        batch=(),
    ),
    Case(negative_sampling, lambda rng: (vectors(rng), {})),
    Case(
        negative_sampling_vjp,
        lambda rng: ((*vectors(rng), rng.normal(size=3)), {}),
        unless={"float64 huge all": SCORES},
    ),
    Case(mask_tokens, lambda rng: (masking(rng), {"mask": 1}), fixed=("u",)),
    Case(
        mask_tokens,
        lambda rng: (masking(rng), {"mask": 1, "shares": (1.0, 0.0)}),
        "always the mask",
        fixed=("u",),
    ),
    Case(bert_embedding, embedding, batch=("tokens", "segments")),
    Case(
        bert_embedding,
        lambda rng: (embedding(rng)[0], {"eps": 1e-5}),
        "eps",
        batch=("tokens", "segments"),
    ),
]


def test_negative_sampling_is_binary_cross_entropy_of_one_yes_and_many_noes():
    rng = np.random.default_rng(0)
    h, positive, negatives = (torch.tensor(x, requires_grad=True) for x in vectors(rng))
    both = torch.cat([positive[:, None], negatives], dim=1)
    scores = (both * h[:, None]).sum(-1)
    yes = torch.zeros(6, dtype=torch.float64)
    yes[0] = 1
    expected = F.binary_cross_entropy_with_logits(scores, yes.expand(3, 6), reduction="none").sum(
        -1
    )
    assert_close(negative_sampling(h, positive, negatives), expected)
    cotangent = torch.tensor(rng.normal(size=3))
    grads = torch.autograd.grad(expected, (h, positive, negatives), cotangent)
    found = negative_sampling_vjp(h, positive, negatives, cotangent)
    for mine, theirs in zip(found, grads, strict=True):
        assert_close(mine, theirs)


def test_without_negatives_the_word_that_occurred_is_left():
    h = np.asarray([1.0, 2.0])
    found = negative_sampling(h, h, np.zeros((0, 2)))
    assert_close(found, math.log(1 + math.exp(-5)))
    assert_close(negative_sampling(np.zeros(2), h, np.zeros((4, 2))), 5 * math.log(2))


def test_many_negatives_lead_to_mutual_information():
    # At the best scores, s = log(p(w, c) / (p(w) q(c))) - log K: the mean gradient is zero.
    rng = np.random.default_rng(1)
    joint = rng.dirichlet(np.ones(9)).reshape(3, 3)
    q, k = joint.sum(0), 4
    best = np.log(joint / (joint.sum(1)[:, None] * q)) - math.log(k)
    one = np.ones(1)
    for i in range(3):
        for j in range(3):
            score = np.asarray([best[i, j]])
            none = np.zeros((0, 1))
            pull = negative_sampling_vjp(one, score, none, np.asarray(1.0)).h / score
            push = negative_sampling_vjp(one, 0 * score, score[:, None], np.asarray(1.0)).h / score
            total = joint[i, j] * pull + k * joint[i].sum() * q[j] * push
            assert abs(total[0]) < 1e-12


def test_noise_is_flatter_than_frequency():
    counts = np.asarray([1000.0, 10.0, 1.0])
    assert_close(noise_distribution(counts, power=1.0), counts / 1011)
    assert_close(noise_distribution(counts, power=0.0), np.full(3, 1 / 3))
    expected = counts**0.75 / np.sum(counts**0.75)
    assert_close(noise_distribution(counts), expected)
    assert noise_distribution(np.asarray([0.0, 2.0]))[0] == 0


def draws(shape, seed=0):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(5, 1000, size=shape)
    chosen = bernoulli(np.zeros(shape), p=0.15, generator=rng)
    return tokens, chosen, uniform(np.zeros(shape), generator=rng), rng.integers(5, 1000, shape)


def test_masking_has_the_shares_of_the_paper():
    tokens, chosen, u, words = draws((400, 500))
    found = mask_tokens(tokens, chosen, u, words, mask=1)
    assert abs((found.labels != IGNORED).mean() - 0.15) < 0.004
    assert (found.inputs[~chosen] == tokens[~chosen]).all()
    assert (found.labels[chosen] == tokens[chosen]).all()
    inputs, told = found.inputs[chosen], tokens[chosen]
    masked = (inputs == 1).mean()
    kept = (inputs == told).mean()
    swapped = ((inputs != 1) & (inputs != told)).mean()
    assert abs(masked - 0.8) < 0.01
    assert abs(kept - 0.1) < 0.01
    assert abs(swapped - 0.1) < 0.01
    assert (mask_tokens(tokens, ~chosen & chosen, u, words, mask=1).inputs == tokens).all()


def test_transformers_collator_has_the_same_shares():
    vocabulary = {f"w{i}": i for i in range(1000)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(vocabulary, unk_token="w0")),
        mask_token="w1",
        pad_token="w2",
    )
    collator = DataCollatorForLanguageModeling(tokenizer)
    torch.manual_seed(0)
    tokens = torch.randint(5, 1000, (400, 500), generator=torch.Generator().manual_seed(0))
    batch = collator([{"input_ids": row} for row in tokens])
    chosen = batch["labels"] != IGNORED
    assert abs(chosen.double().mean() - 0.15) < 0.004
    assert (batch["labels"][chosen] == tokens[chosen]).all()
    inputs, told = batch["input_ids"][chosen], tokens[chosen]
    assert abs((inputs == 1).double().mean() - 0.8) < 0.01
    assert abs((inputs == told).double().mean() - 0.1) < 0.01


def test_a_share_at_its_bound():
    tokens, chosen, words = np.asarray([7, 7]), np.asarray([True, True]), np.asarray([9, 9])
    u = np.asarray([0.8, np.nextafter(0.8, 0)])
    assert mask_tokens(tokens, chosen, u, words, mask=1).inputs.tolist() == [9, 1]
    u = np.asarray([0.9, np.nextafter(0.9, 0)])
    found = mask_tokens(tokens, chosen, u, words, mask=1, shares=(0.5, 0.4))
    assert found.inputs.tolist() == [7, 9]


def test_the_embedding_is_that_of_transformers():
    config = BertConfig(vocab_size=40, hidden_size=16, num_attention_heads=2)
    torch.manual_seed(0)
    bert = BertEmbeddings(config).double().eval()
    tokens = torch.randint(0, 40, (3, 11))
    segments = (torch.arange(11) > 5).long().expand(3, 11)
    found = bert_embedding(
        tokens,
        segments,
        bert.word_embeddings.weight,
        bert.position_embeddings.weight,
        bert.token_type_embeddings.weight,
        bert.LayerNorm.weight,
        bert.LayerNorm.bias,
    )
    assert_close(found, bert(input_ids=tokens, token_type_ids=segments))
    assert (config.vocab_size, BertConfig().vocab_size) == (40, 30522)
    assert BertConfig().max_position_embeddings == 512
    assert BertConfig().type_vocab_size == 2
    assert BertConfig().layer_norm_eps == 1e-12


def test_what_counts_in_the_loss_is_what_was_chosen():
    tokens, chosen, u, words = draws((4, 30))
    labels = mask_tokens(tokens, chosen, u, words, mask=1).labels
    logits = np.random.default_rng(5).normal(size=(4, 30, 1000))
    own = torch.tensor(logits[chosen]).log_softmax(-1)
    expected = -own[torch.arange(len(own)), torch.tensor(tokens[chosen])].mean()
    assert_close(cross_entropy(logits, labels, ignore_index=IGNORED), expected)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        ({"tokens": np.zeros(2)}, {}, TypeError, "tokens has dtype float64: it must be signed"),
        ({"tokens": np.zeros(2, np.uint16)}, {}, TypeError, "uint16: it must be signed integer"),
        ({"chosen": np.zeros(2, int)}, {}, TypeError, "chosen has dtype int64: it must be bool"),
        ({"words": np.zeros(2)}, {}, TypeError, "words has dtype float64"),
        ({"u": np.zeros(2, int)}, {}, TypeError, "u has dtype int64"),
        ({"u": np.zeros(3)}, {}, ValueError, r"u has shape \(3,\) but tokens has shape \(2,\)"),
        ({"words": np.zeros(1, int)}, {}, ValueError, "words has shape"),
        ({"chosen": np.zeros(1, bool)}, {}, ValueError, "chosen has shape"),
        ({}, {"shares": (1.1, 0.0)}, ValueError, r"shares\[0\] is 1.1"),
        ({}, {"shares": (0.0, -0.1)}, ValueError, r"shares\[1\] is -0.1"),
        ({}, {"shares": (0.6, 0.5)}, ValueError, r"shares\[0\] \+ shares\[1\] is 1.1"),
    ],
)
def test_masking_says_what_is_wrong(arguments, options, error, match):
    good = {
        "tokens": np.zeros(2, int),
        "chosen": np.zeros(2, bool),
        "u": np.zeros(2),
        "words": np.zeros(2, int),
    }
    mask_tokens(**good, mask=1, shares=(0.5, 0.5))
    with pytest.raises(error, match=match):
        mask_tokens(**(good | arguments), mask=1, **options)


def test_errors():
    x = np.ones((2, 3))
    n = np.ones((2, 4, 3))
    with pytest.raises(ValueError, match=r"positive has shape \(3,\) but h has shape"):
        negative_sampling(x, np.ones(3), n)
    for shape in ((2, 4, 2), (3, 4, 3), (2, 3)):
        with pytest.raises(ValueError, match="negatives must have one axis more"):
            negative_sampling(x, x, np.ones(shape))
    for vectors_ in ((x[0], x[0], n[0, 0]), (n[0, 0, 0], n[0, 0, 0], n[0])):
        with pytest.raises(ValueError, match="negatives must have one axis more"):
            negative_sampling(*map(np.asarray, vectors_))
    for arguments in ((x.astype(int), x, n), (x, x.astype(int), n), (x, x, n.astype(int))):
        with pytest.raises(TypeError, match="cast it first"):
            negative_sampling(*arguments)
    with pytest.raises(TypeError, match="cotangent has dtype"):
        negative_sampling_vjp(x, x, n, np.ones(2, int))
    with pytest.raises(ValueError, match="cotangent has shape"):
        negative_sampling_vjp(x, x, n, np.ones(3))
    with pytest.raises(TypeError, match="counts has dtype"):
        noise_distribution(np.ones(2, int))
    tokens = np.zeros((1, 3), int)
    E = np.ones((2, 4))
    bert_embedding(tokens[:, :2], tokens[:, :2], E, E, E, E[0], E[0])
    with pytest.raises(ValueError, match="vectors for 2 positions, cut the text"):
        bert_embedding(tokens, tokens, E, E, E, E[0], E[0])
    for tables in ((E, E[:, :3], E), (E, E, E[:, :1])):
        with pytest.raises(ValueError, match="vectors that are added must be equally long"):
            bert_embedding(tokens[:, :2], tokens[:, :2], *tables, E[0], E[0])
    wrong = tokens[:, :2].astype(float)
    for name, ids in (("tokens", (wrong, tokens[:, :2])), ("segments", (tokens[:, :2], wrong))):
        for convert in (np.asarray, torch.as_tensor):
            with pytest.raises(TypeError, match=f"{name} has dtype .*float64: integers"):
                bert_embedding(*map(convert, (*ids, E, E, E, E[0], E[0])))
    two = tokens[:, :2]
    for convert in (np.asarray, torch.as_tensor):
        for name, ids in (("tokens", (two + 2, two)), ("segments", (two, two - 1))):
            with pytest.raises(ValueError, match=rf"{name} holds (2|-1): .* lie in \[0, 1\]"):
                bert_embedding(*map(convert, (*ids, E, E, E, E[0], E[0])))
    with pytest.raises(ValueError, match="mask is -1"):
        mask_tokens(two, two > 0, E[:1, :2], two, mask=-1)
    with pytest.raises(ValueError, match="segments has shape"):
        bert_embedding(tokens, tokens[:, :2], E, E, E, E[0], E[0])


SHIFTS = {  # symptoms.md: which models shift labels themselves
    "GPT2LMHeadModel": True,
    "LlamaForCausalLM": True,
    "OPTForCausalLM": True,
    "BartForCausalLM": False,
    "MBartForCausalLM": False,
    "MarianForCausalLM": False,
    "PegasusForCausalLM": False,
    "WhisperForCausalLM": False,
}


@pytest.mark.parametrize(("name", "shifts"), SHIFTS.items())
def test_causal_models_shift_labels_and_decoders_of_translators_do_not(name, shifts):
    kind = getattr(transformers, name)
    sizes = {"d_model": 16, "hidden_size": 16, "word_embed_proj_dim": 16, "intermediate_size": 16}
    layers = {"num_hidden_layers": 1, "decoder_layers": 1, "encoder_layers": 1, "ffn_dim": 16}
    heads = {
        "num_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_attention_heads": 2,
        "decoder_ffn_dim": 16,
        "encoder_ffn_dim": 16,
    }
    special = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    torch.manual_seed(0)
    model = kind(kind.config_class(vocab_size=50, **sizes, **layers, **heads, **special)).eval()
    text = torch.arange(5, 17)[None]
    with torch.no_grad():
        out = model(input_ids=text, labels=text)
    same = F.cross_entropy(out.logits[0], text[0])
    following = F.cross_entropy(out.logits[0, :-1], text[0, 1:])
    assert not torch.isclose(same, following)
    assert_close(out.loss, following if shifts else same)


def test_messages_of_texts_that_are_too_long():
    """The page on symptoms says which library models raise which error."""
    small = {"vocab_size": 50, "num_hidden_layers": 1, "num_attention_heads": 2}
    bert = {"hidden_size": 8, "intermediate_size": 8, "max_position_embeddings": 10}
    distil = {"dim": 8, "hidden_dim": 8, "n_layers": 1, "n_heads": 2, "max_position_embeddings": 10}
    gpt = {"n_positions": 10, "n_embd": 8, "bos_token_id": 0, "eos_token_id": 0}
    tokens = torch.full((1, 11), 5)
    same = "size of tensor a .* must match the size of tensor b"
    for model, settings in (
        (BertModel(BertConfig(**small, **bert)), {"token_type_ids": 0 * tokens}),
        (DistilBertModel(DistilBertConfig(vocab_size=50, **distil)), {}),
    ):
        model(tokens[:, :10])
        with pytest.raises(RuntimeError, match=same):
            model(tokens, **settings)
    with pytest.raises(IndexError, match="index out of range in self"):
        GPT2Model(GPT2Config(**small, **gpt))(tokens)
