import pytest
import torch
from torch import nn

import dlkb.nn
from dlkb.optim import Adam, AdamW, decay_groups
from tests.close import assert_close
from tests.optim.like_torch import (
    assert_resumes,
    assert_same_signature,
    assert_same_state,
    parameters,
    train,
)

OPTIONS = [
    {},
    {"lr": 0.05, "weight_decay": 0.5, "betas": (0.7, 0.9), "eps": 1e-2},
    {"weight_decay": 0.0},
    {"weight_decay": 0.3, "maximize": True},
    {"amsgrad": True, "weight_decay": 0.1, "lr": torch.tensor(0.1, dtype=torch.float64)},
]


def test_signature_is_that_of_torch():
    assert_same_signature(AdamW, torch.optim.AdamW)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_thirty_steps_are_those_of_torch(options, device):
    mine, theirs = parameters(device=device), parameters(device=device)
    a, b = AdamW(mine, **options), torch.optim.AdamW(theirs, **options)
    train(a, mine, range(30))
    train(b, theirs, range(30))
    for p, q in zip(mine, theirs, strict=True):
        assert_close(p, q)
    assert_same_state(a, b)


@pytest.mark.parametrize("first", [AdamW, torch.optim.AdamW])
def test_a_run_resumes_under_the_other(first):
    second = torch.optim.AdamW if first is AdamW else AdamW
    options = {"lr": 0.1, "weight_decay": 0.2, "amsgrad": True}
    assert_resumes(first, second, options)


def test_a_checkpoint_of_adam_decays_decoupled_from_now_on():
    params = parameters()
    coupled = Adam(params, weight_decay=0.1)
    train(coupled, params, [0])
    optimizer = AdamW(params)
    optimizer.load_state_dict(coupled.state_dict())
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True


def test_errors_name_this_class():
    table = torch.nn.Embedding(5, 2, sparse=True)
    optimizer = AdamW(table.parameters())
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="AdamW does not support sparse"):
        optimizer.step()


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(7, 4)
        self.layer = nn.TransformerEncoderLayer(4, 2, 8)
        self.norm = nn.LayerNorm((3, 4))
        self.rms = nn.RMSNorm((3, 4))
        self.bag = nn.EmbeddingBag(5, 4)
        self.conv = nn.Conv1d(4, 4, 3)
        self.slope = nn.PReLU()
        self.free = nn.Linear(4, 7)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.table.weight


def names(group):
    return [name for name, _ in group["params"]]


def test_groups_of_a_model():
    model = Tied()
    decayed, rest = decay_groups(model, weight_decay=0.3)
    assert names(decayed) == [
        "layer.self_attn.in_proj_weight",
        "layer.self_attn.out_proj.weight",
        "layer.linear1.weight",
        "layer.linear2.weight",
        "conv.weight",
        "free.weight",
    ]
    assert {"table.weight", "norm.weight", "norm.bias", "rms.weight", "bag.weight"} <= set(
        names(rest)
    )
    assert {"slope.weight", "free.bias", "layer.norm1.weight"} <= set(names(rest))
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.3, 0.0)
    every = [id(p) for group in (decayed, rest) for _, p in group["params"]]
    assert sorted(every) == sorted(id(p) for p in model.parameters())  # each once, the tied one too


def test_a_frozen_parameter_keeps_its_group():
    model = nn.Linear(3, 2)
    model.weight.requires_grad_(False)
    assert names(decay_groups(model)[0]) == ["weight"]


@pytest.mark.parametrize("optimizer", [AdamW, torch.optim.AdamW, torch.optim.SGD])
def test_optimizers_take_the_groups(optimizer):
    model = Tied().double()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = optimizer(decay_groups(model, weight_decay=0.5), lr=0.1)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    decayed = names(decay_groups(model)[0])
    for name, p in model.named_parameters():
        assert_close(p, before[name] * (0.95 if name in decayed else 1.0))


@pytest.mark.parametrize(
    "module",
    [
        nn.utils.parametrizations.spectral_norm(nn.Embedding(5, 4)),
        dlkb.nn.LayerNorm((3, 4)),
        dlkb.nn.RMSNorm((3, 4)),
    ],
    ids=["parametrized embedding", "our layer norm", "our RMS norm"],
)
def test_nothing_of_other_embeddings_and_norms_is_decayed(module):
    (rest,) = decay_groups(module)
    assert rest["weight_decay"] == 0


def test_gains_of_weight_norm_bare_tables_and_bias_k_count_as_weights():
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)))
    model.register_parameter("positions", nn.Parameter(torch.zeros(1, 5, 3)))
    decayed, rest = (names(group) for group in decay_groups(model))
    assert [name.rsplit(".")[-1] for name in decayed] == ["positions", "original0", "original1"]
    assert rest == ["0.bias"]
    decayed, _ = decay_groups(nn.MultiheadAttention(4, 2, add_bias_kv=True))
    assert {"bias_k", "bias_v"} <= set(names(decayed))


def test_a_lazy_weight_is_refused_until_it_has_a_shape():
    model = nn.Sequential(nn.LazyLinear(2))
    with pytest.raises(ValueError, match=r"0\.weight has no shape yet: call the model once"):
        decay_groups(model)
    model(torch.ones(1, 3))
    assert names(decay_groups(model)[0]) == ["0.weight"]


def test_an_empty_group_is_left_out():
    (rest,) = decay_groups(nn.LayerNorm(3))
    assert (names(rest), rest["weight_decay"]) == (["weight", "bias"], 0.0)
    (decayed,) = decay_groups(nn.Linear(3, 2, bias=False))
    assert (names(decayed), decayed["weight_decay"]) == (["weight"], 1e-2)
    assert AdamW([rest]).param_groups[0]["weight_decay"] == 0


def test_default_decay_is_that_of_adamw_and_negative_is_an_error():
    assert (
        decay_groups(nn.Linear(2, 2))[0]["weight_decay"]
        == AdamW(parameters()).defaults["weight_decay"]
    )
    with pytest.raises(ValueError, match=r"weight_decay is -0.1"):
        decay_groups(nn.Linear(2, 2), weight_decay=-0.1)
