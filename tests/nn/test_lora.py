import copy
import io

import peft
import pytest
import torch
from torch import nn

from dlkb.nn import (
    LoRALinear,
    add_lora,
    detach_lora,
    load_lora_state_dict,
    lora_state_dict,
    mc_dropout,
    merge_lora,
    trainable_parameters,
    unmerge_lora,
)
from tests.close import assert_close

DTYPES = [torch.float64, torch.float32, torch.bfloat16]


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_lin, self.k_lin, self.v_lin = (nn.Linear(6, 6) for _ in range(3))

    def forward(self, x):
        scores = self.q_lin(x) @ self.k_lin(x).transpose(-1, -2)
        return scores.softmax(-1) @ self.v_lin(x)


class Classifier(nn.Module):
    """Two blocks and a head, with the names of a DistilBERT."""

    def __init__(self):
        super().__init__()
        self.layer = nn.ModuleList([Attention(), Attention()])
        self.norm = nn.LayerNorm(6)
        self.classifier = nn.Linear(6, 2, bias=False)

    def forward(self, x):
        for block in self.layer:
            x = x + block(x)
        return self.classifier(self.norm(x).mean(-2))


def model_and_input(device="cpu", dtype=torch.float32):
    torch.manual_seed(0)
    x = torch.randn(3, 5, 6)
    return Classifier().to(device, dtype), x.to(device, dtype)


def learn(model):
    """Move every trainable parameter, as training would."""
    torch.manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p += 0.3 * torch.randn(p.shape).to(p)
    return model


def adapted(device="cpu", dtype=torch.float32, **options):
    model, x = model_and_input(device, dtype)
    options = {"r": 2, "alpha": 6, **options}
    return learn(add_lora(model, ["q_lin", "v_lin"], **options)), x


def layer(device="cpu", dtype=torch.float32, **options):
    torch.manual_seed(0)
    base = nn.Linear(7, 4, device=device, dtype=dtype)
    return learn(LoRALinear(base, **{"r": 2, "alpha": 6, **options}))


def as_peft(ours: LoRALinear, **config):
    """The peft layer with the same weights."""
    model = nn.Sequential(copy.deepcopy(ours.base_layer))
    config = peft.LoraConfig(
        target_modules=["0"],
        r=ours.options.r,
        lora_alpha=ours.options.alpha,
        use_rslora=ours.options.rule == "rslora",
        **config,
    )
    model = peft.get_peft_model(model, config, autocast_adapter_dtype=False)
    theirs = model.base_model.model[0]
    with torch.no_grad():
        theirs.lora_A["default"].weight.copy_(ours.lora_A)
        theirs.lora_B["default"].weight.copy_(ours.lora_B)
    return theirs


# One layer


@pytest.mark.parametrize("rule", ["lora", "rslora"])
@pytest.mark.parametrize("r", [1, 2, 9])
@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 3, 7), (0, 7)], ids=str)
def test_output_and_gradients_are_those_of_peft(shape, r, rule, device):
    ours = layer(device, torch.float64, r=r, rule=rule)
    theirs = as_peft(ours)
    x = torch.randn(shape, dtype=torch.float64).to(device).requires_grad_()
    y, expected = ours(x), theirs(x)
    assert_close(y, expected)
    cotangent = torch.randn(y.shape, dtype=y.dtype).to(device)
    mine = torch.autograd.grad(y, [x, ours.lora_A, ours.lora_B], cotangent)
    factors = [theirs.lora_A["default"].weight, theirs.lora_B["default"].weight]
    for a, b in zip(mine, torch.autograd.grad(expected, [x, *factors], cotangent), strict=True):
        assert_close(a, b, scale=10)
    ours.eval().merge()
    theirs.eval().merge()
    assert_close(ours.weight, theirs.get_base_layer().weight)
    assert_close(ours(x), theirs(x), scale=10)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_factors_are_born_like_the_weight(dtype, device):
    base = nn.Linear(7, 4, device=device, dtype=dtype)
    torch.manual_seed(0)
    fresh = LoRALinear(base, r=2, alpha=6)
    x = torch.randn(3, 7).to(base.weight)
    assert torch.equal(fresh(x), base(x))
    for factor in (fresh.lora_A, fresh.lora_B):
        assert (factor.dtype, factor.device) == (dtype, base.weight.device)
        assert factor.requires_grad
    assert not any(p.requires_grad for p in base.parameters())
    bound = 7**-0.5
    assert 0.5 * bound < fresh.lora_A.abs().max() <= 1.01 * bound
    learn(fresh)
    assert fresh(x).dtype == dtype
    assert_close(fresh(x), as_peft(fresh)(x), scale=3)


def test_draws_come_from_the_generator_and_else_from_the_global_one():
    def draw(**options):
        return LoRALinear(nn.Linear(7, 4), r=2, alpha=6, **options).lora_A.detach()

    seeded = [draw(generator=torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*seeded)
    base = nn.Linear(7, 4)
    torch.manual_seed(5)
    assert torch.equal(LoRALinear(base, r=2, alpha=6).lora_A, seeded[0])
    assert not torch.equal(draw(), draw())


def test_factors_in_float32_over_a_bfloat16_base():
    base = nn.Linear(7, 4, dtype=torch.bfloat16)
    ours = learn(LoRALinear(base, r=2, alpha=6, dtype=torch.float32))
    assert ours.lora_A.dtype == ours.lora_B.dtype == torch.float32
    x = torch.randn(3, 7, dtype=torch.bfloat16)
    y = ours(x)
    assert y.dtype == torch.bfloat16
    exact = copy.deepcopy(ours).double()
    assert_close(y, exact(x.double()), dtype="bfloat16")
    ours.eval().merge()
    assert ours.weight.dtype == torch.bfloat16
    assert torch.equal(ours.weight, exact.weight.float().bfloat16())


def test_the_sum_is_rounded_once():
    ours = layer(dtype=torch.bfloat16)
    exact = ours.base_layer.weight.float() + 3 * ours.lora_B.float() @ ours.lora_A.float()
    assert torch.equal(ours.weight + 0, exact.bfloat16())


def test_empty_and_single_sizes():
    ours = LoRALinear(nn.Linear(1, 1), r=1, alpha=1)
    assert ours(torch.ones(2, 0, 1)).shape == (2, 0, 1)
    assert ours(torch.ones(1)).shape == (1,)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_merge_and_unmerge_as_often_as_one_likes(dtype, device):
    ours = layer(device, dtype).eval()
    x = torch.randn(3, 7).to(ours.lora_A)
    before, y = ours.base_layer.weight.clone(), ours(x)
    ours.merge()
    once = ours.weight.clone()
    ours.merge()
    assert ours.merged
    assert torch.equal(ours.weight, once)
    assert_close(ours(x), y, scale=3)
    assert not torch.equal(once, before)
    ours.unmerge()
    ours.unmerge()
    assert not ours.merged
    assert torch.equal(ours.base_layer.weight, before)
    assert torch.equal(ours(x), y)


def test_peft_subtracts_and_does_not_get_the_bits_back():
    ours = layer(dtype=torch.bfloat16)
    theirs = as_peft(ours)
    theirs.merge()
    theirs.unmerge()
    assert not torch.equal(theirs.get_base_layer().weight, ours.base_layer.weight)


def test_merged_layer_refuses_to_train():
    ours = layer()
    ours.merge()
    with pytest.raises(RuntimeError, match=r"merged, so lora_A and lora_B would get no gradient"):
        ours(torch.ones(7))
    ours.eval()(torch.ones(7))
    ours.train().unmerge()
    ours(torch.ones(7)).sum().backward()
    assert ours.lora_A.grad.abs().sum() > 0


def test_dropout_acts_on_the_branch_alone_and_only_in_training():
    ours = layer(lora_dropout=0.5)
    x = torch.ones(4000, 7)
    base, full = ours.base_layer(x), ours.eval()(x)
    branch = ours.train()(x) - base
    assert branch.std(0).min() > 0.1
    expected = (full - base)[0]
    standard_error = branch.std(0) / 4000**0.5
    assert torch.all((branch.mean(0) - expected).abs() < 5 * standard_error)
    assert torch.equal(ours.eval()(x), full)
    fresh = LoRALinear(ours.base_layer, r=2, alpha=6, lora_dropout=0.5).train()
    assert torch.equal(fresh(x), base)
    with mc_dropout(ours):
        assert not torch.equal(ours(x), full)


def test_compiles_without_a_graph_break(device):
    ours = layer(device, torch.float64)
    x = torch.randn(3, 7, dtype=torch.float64).to(device)
    torch.compiler.reset()
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    assert_close(compiled(x), ours(x))
    mine = torch.autograd.grad(compiled(x).sum(), [ours.lora_A, ours.lora_B])
    eager = torch.autograd.grad(ours(x).sum(), [ours.lora_A, ours.lora_B])
    for a, b in zip(mine, eager, strict=True):
        assert_close(a, b)
    ours.eval().merge()
    assert_close(compiled(x), ours(x))


def test_autocast(device):
    ours = layer(device)
    x = torch.randn(3, 7).to(device)
    with torch.autocast(device, dtype=torch.bfloat16):
        y = ours(x)
    assert y.dtype == torch.bfloat16
    assert_close(y, ours(x), dtype="bfloat16")


def test_moves_between_dtypes_also_when_merged():
    ours = layer(dtype=torch.float64).eval()
    ours.merge()
    ours.float()
    assert ours.weight.dtype == torch.float32
    assert ours(torch.ones(7)).dtype == torch.float32


def test_printed_form():
    assert "r=2, alpha=6, rule=lora, scaling=3.0" in repr(layer())
    assert "active=['default'], merged=False" in repr(layer())
    ours = layer()
    assert (ours.in_features, ours.out_features, ours.bias) == (7, 4, ours.base_layer.bias)


# A whole model


def test_targets_by_name_suffix_and_pattern():
    def names(targets):
        model = add_lora(Classifier(), targets, r=1, alpha=1)
        return [n for n, m in model.named_modules() if isinstance(m, LoRALinear)]

    assert names(["q_lin"]) == ["layer.0.q_lin", "layer.1.q_lin"]
    assert names(["layer.1.q_lin", "classifier"]) == ["layer.1.q_lin", "classifier"]
    assert names(r".*\.1\.[qk]_lin") == ["layer.1.q_lin", "layer.1.k_lin"]
    assert len(names(".*")) == 7
    parts = nn.ModuleDict({"lin": nn.Linear(2, 2), "q_lin": nn.Linear(2, 2)})
    assert trainable_parameters(add_lora(parts, ["lin"], r=1, alpha=1)).trainable == 4


@pytest.mark.parametrize("targets", [["q_lin", "v_lin"], r".*\.[qv]_lin"], ids=str)
def test_the_same_parameters_train_as_in_peft(targets):
    ours = add_lora(Classifier(), targets, r=2, alpha=6, modules_to_save=["classifier"])
    config = peft.LoraConfig(
        r=2, lora_alpha=6, target_modules=targets, modules_to_save=["classifier"]
    )
    theirs = peft.get_peft_model(Classifier(), config)
    trainable, total = theirs.get_nb_trainable_parameters()
    listed = trainable_parameters(ours)
    assert (listed.trainable, listed.total) == (trainable, total)
    assert listed.counts == {
        n: p.numel() for n, p in ours.named_parameters() if ".adapters.default." in n
    }


def test_one_step_changes_what_is_listed_and_nothing_else(device):
    model, x = model_and_input(device)
    model = add_lora(model, ["q_lin"], r=2, alpha=6, modules_to_save=["classifier"])
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):  # in the first step only lora_B moves
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
    after = model.state_dict()
    changed = {n for n in after if not torch.equal(after[n], before[n])}
    assert changed == set(trainable_parameters(model).counts)
    assert model.layer[0].q_lin.base_layer.weight.grad is None


def test_model_agrees_with_peft(device):
    ours, x = adapted(device, torch.float64)
    base, _ = model_and_input(device, torch.float64)
    config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=["q_lin", "v_lin"])
    theirs = peft.get_peft_model(base, config)
    state = {
        f"base_model.model.{name}.weight": factor
        for name, factor in lora_state_dict(ours).items()
        if "lora_" in name
    }
    peft.set_peft_model_state_dict(theirs, state)
    assert_close(ours(x), theirs(x))
    assert_close(detach_lora(ours)(x), theirs.merge_and_unload()(x))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_merge_unmerge_detach(dtype, device):
    model, x = adapted(device, dtype, modules_to_save=["classifier"])
    model.eval()
    bare = copy.deepcopy(model)
    base = {n: p.clone() for n, p in model.named_parameters()}
    y = model(x)
    assert_close(merge_lora(merge_lora(model))(x), y, scale=3)
    assert torch.equal(unmerge_lora(unmerge_lora(model))(x), y)
    assert all(torch.equal(p, base[n]) for n, p in model.named_parameters())
    for start in (model, merge_lora(copy.deepcopy(model))):
        plain = detach_lora(copy.deepcopy(start))
        assert not any(isinstance(m, LoRALinear) for m in plain.modules())
        assert type(plain.layer[0].q_lin) is nn.Linear
        assert [*plain.state_dict()] == [*model_and_input()[0].state_dict()]
        assert_close(plain(x), y, scale=3)
        assert detach_lora(plain) is plain
    dropped = detach_lora(bare, merge=False)
    pretrained = model_and_input(device, dtype)[0].layer[0].q_lin.weight
    assert torch.equal(dropped.layer[0].q_lin.weight, pretrained)
    assert (dropped(x) - y).abs().max() > 0.01


def test_detach_leaves_saved_factors_alone():
    model, _ = adapted()
    state = lora_state_dict(model)
    before = copy.deepcopy(state)
    detach_lora(model)
    assert all(torch.equal(state[n], before[n]) for n in before)


def test_root_layer_detaches_to_a_linear():
    ours = layer()
    x = torch.randn(3, 7)
    y = ours(x)
    plain = detach_lora(ours)
    assert type(plain) is nn.Linear
    assert_close(plain(x), y)


def test_state_dict_holds_the_adapter_alone(tmp_path):
    model, x = adapted(modules_to_save=["classifier"])
    state = lora_state_dict(model)
    layers = [f"layer.{i}.{p}_lin" for i in (0, 1) for p in "qv"]
    kept = ("lora_A", "lora_B", "_extra_state")
    assert set(state) == {*(f"{n}.{k}" for n in layers for k in kept), "classifier.weight"}
    torch.save(state, tmp_path / "adapter.pt")
    fresh, _ = model_and_input()
    add_lora(fresh, ["q_lin", "v_lin"], r=2, alpha=6, modules_to_save=["classifier"])
    assert not torch.equal(fresh(x), model(x))
    load_lora_state_dict(fresh, torch.load(tmp_path / "adapter.pt", weights_only=True))
    assert torch.equal(fresh(x), model(x))


def test_whole_state_dict_round_trip_and_merged_is_the_same():
    model, x = adapted()
    state = model.state_dict()
    merged = merge_lora(copy.deepcopy(model).eval()).state_dict()
    assert state.keys() == merged.keys()
    assert all(torch.equal(state[n], merged[n]) for n in state)
    fresh = add_lora(Classifier(), ["q_lin", "v_lin"], r=2, alpha=6)
    fresh.load_state_dict(state)
    assert torch.equal(fresh(x), model(x))


def test_loading_into_a_merged_model_merges_anew():
    model, x = adapted()
    fresh = add_lora(model_and_input()[0], ["q_lin", "v_lin"], r=2, alpha=6)
    merge_lora(fresh.eval())
    load_lora_state_dict(fresh, lora_state_dict(model))
    assert_close(fresh(x), model(x))
    other = add_lora(Classifier(), ["q_lin", "v_lin"], r=2, alpha=6)
    merge_lora(other.eval()).load_state_dict(model.state_dict())
    assert_close(other(x), model(x))


def test_deepcopy_and_pickle():
    model, x = adapted(modules_to_save=["classifier"])
    for twin in (copy.deepcopy(model), unpickled(model)):
        assert torch.equal(twin(x), model(x))
        learn(twin)
        assert not torch.equal(twin(x), model(x))
        assert lora_state_dict(twin).keys() == lora_state_dict(model).keys()


def unpickled(model):
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def test_second_call_leaves_the_first_adapter_trainable():
    model = add_lora(Classifier(), ["q_lin"], r=2, alpha=6, modules_to_save=["classifier"])
    add_lora(model, ["v_lin"], r=1, alpha=6)
    listed = trainable_parameters(model).counts
    assert len(listed) == 9
    assert listed["layer.0.q_lin.adapters.default.lora_A"] == 12
    assert listed["layer.0.v_lin.adapters.default.lora_A"] == 6
    assert "classifier.adapters.default.weight" in listed


def test_keeps_the_mode():
    model = add_lora(Classifier().eval(), ["q_lin"], r=2, alpha=6)
    assert not any(m.training for m in model.modules())


def test_shared_module_stays_shared():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = self.b = nn.Linear(4, 4)

        def forward(self, x):
            return self.b(self.a(x))

    model = learn(add_lora(Twice(), ".*", r=2, alpha=4))
    assert model.a is model.b
    x = torch.randn(3, 4)
    y = model(x)
    load_lora_state_dict(model, lora_state_dict(model))
    assert_close(merge_lora(model.eval())(x), y)
    plain = detach_lora(model)
    assert plain.a is plain.b
    assert_close(plain(x), y)


def test_tied_weight_is_untied_when_the_update_is_written():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
            self.head.weight = self.embedding.weight

    model = learn(add_lora(Tied(), ["head"], r=2, alpha=4))
    before = model.embedding.weight.clone()
    detach_lora(model)
    assert torch.equal(model.embedding.weight, before)
    assert not torch.equal(model.head.weight, before)


def test_multihead_attention_sees_the_update_and_its_gradient():
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(6, 2, batch_first=True)
    x = torch.randn(2, 5, 6)
    learn(add_lora(attention, ["out_proj"], r=2, alpha=4))
    y = attention(x, x, x)[0]
    y.sum().backward()
    assert attention.out_proj.lora_A.grad.abs().sum() > 0
    plain = detach_lora(copy.deepcopy(attention))
    assert_close(plain(x, x, x)[0], y)
    dropped = detach_lora(attention, merge=False)
    assert (dropped(x, x, x)[0] - y).abs().max() > 0.01


@pytest.mark.parametrize("merged", [False, True])
def test_fast_path_of_the_transformer_encoder_sees_the_update(merged):
    torch.manual_seed(0)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    x = torch.randn(2, 5, 8)
    learn(add_lora(encoder, ["linear1", "linear2", "out_proj"], r=2, alpha=4)).eval()
    if merged:
        merge_lora(encoder)
    plain = detach_lora(copy.deepcopy(encoder))
    with torch.inference_mode():
        assert_close(encoder(x), plain(x))


def test_new_factors_do_not_change_the_model(device):
    for dtype in DTYPES:
        model, x = model_and_input(device, dtype)
        y = model(x)
        assert torch.equal(add_lora(model, ".*", r=2, alpha=6)(x), y)


# transformers


@pytest.fixture(scope="module")
def distilbert():
    import transformers

    torch.manual_seed(0)
    config = transformers.DistilBertConfig(
        vocab_size=20, dim=8, hidden_dim=16, n_heads=2, n_layers=2, max_position_embeddings=6
    )
    return transformers.DistilBertForSequenceClassification(config).eval()


def test_distilbert_like_peft(distilbert):
    ids = torch.arange(10).reshape(2, 5)
    targets = ["q_lin", "v_lin"]
    head = ["pre_classifier", "classifier"]
    ours = copy.deepcopy(distilbert)
    ours = learn(add_lora(ours, targets, r=2, alpha=4, modules_to_save=head)).eval()
    listed = trainable_parameters(ours)
    names = {n.partition(".adapters.")[0].rpartition(".")[2] for n in listed.counts}
    assert names == {*targets, *head}
    plain = detach_lora(copy.deepcopy(ours))
    assert_close(plain(ids).logits, ours(ids).logits)
    assert (distilbert(ids).logits - plain(ids).logits).abs().max() > 1e-3


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_peft_trains_the_head_of_a_sequence_classifier(distilbert):
    config = peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["q_lin", "v_lin"])
    theirs = peft.get_peft_model(copy.deepcopy(distilbert), config)
    trained = {n for n, p in theirs.named_parameters() if p.requires_grad}
    assert any(".pre_classifier." in n for n in trained)
    assert any(".classifier." in n for n in trained)
    assert any("lora_A" in n for n in trained)
    assert all("lora_" in n or "classifier" in n for n in trained)


def test_paths_of_the_notes_do_not_exist(distilbert):
    with pytest.raises(AttributeError, match="no attribute 'transformer'"):
        _ = distilbert.transformer.layer
    bare = distilbert.distilbert
    assert hasattr(bare.transformer.layer[0].attention, "q_lin")
    assert not hasattr(bare, "pre_classifier")
    assert {"lin1", "lin2"} <= {n for n, _ in bare.transformer.layer[0].ffn.named_children()}
    assert hasattr(distilbert, "pre_classifier")


# Errors


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: LoRALinear(nn.Conv2d(1, 1, 1), r=1, alpha=1), TypeError, "base_layer is Conv2d"),
        (lambda: LoRALinear(nn.Linear(2, 2), r=0, alpha=1), ValueError, "r is 0"),
        (lambda: LoRALinear(nn.Linear(2, 2), r=1, alpha=-1), ValueError, "alpha is -1"),
        (lambda: LoRALinear(nn.Linear(2, 2), r=1, alpha=1, rule="x"), ValueError, "rule is 'x'"),
        (
            lambda: LoRALinear(nn.Linear(2, 2), r=1, alpha=1, lora_dropout=2),
            ValueError,
            "dropout is 2",
        ),
        (
            lambda: add_lora(Classifier(), ["q_proj"], r=1, alpha=1),
            ValueError,
            r"'q_proj'; .*q_lin",
        ),
        (lambda: add_lora(Classifier(), ["q_lin", "zzz"], r=1, alpha=1), ValueError, "'zzz'"),
        (lambda: add_lora(Classifier(), [], r=1, alpha=1), ValueError, r"targets is \[\]"),
        (
            lambda: add_lora(Classifier(), ["q_lin"], r=1, alpha=1, exclude=["q_lin"]),
            ValueError,
            r"no module is left to adapt \(exclude: \['q_lin'\]\)",
        ),
        (lambda: add_lora(Classifier(), "q_lin", r=1, alpha=1), ValueError, "layer.0.q_lin"),
        (lambda: add_lora(Classifier(), ["norm"], r=1, alpha=1), TypeError, "norm is LayerNorm"),
        (lambda: add_lora(nn.Linear(2, 2), [""], r=1, alpha=1), ValueError, "itself the Linear"),
        (
            lambda: add_lora(Classifier(), ["q_lin"], r=1, alpha=1, modules_to_save=["head"]),
            ValueError,
            "modules_to_save: no module is called 'head'",
        ),
        (
            lambda: add_lora(Classifier(), ".*", r=1, alpha=1, modules_to_save=["classifier"]),
            ValueError,
            "classifier is in modules_to_save",
        ),
        (
            lambda: add_lora(Classifier(), ["q_lin"], r=1, alpha=1, modules_to_save=["layer"]),
            ValueError,
            "layer is in modules_to_save",
        ),
        (
            lambda: add_lora(
                nn.MultiheadAttention(4, 2), ["out_proj"], r=1, alpha=1, lora_dropout=0.1
            ),
            ValueError,
            "lora_dropout would do nothing",
        ),
        (lambda: add_lora(adapted()[0], ["q_lin"], r=1, alpha=1), ValueError, "LoRALinear already"),
        (lambda: add_lora(adapted()[0], ".*", r=1, alpha=1), ValueError, "LoRALinear already"),
        (
            lambda: add_lora(adapted()[0], ["k_lin"], r=1, alpha=1, modules_to_save=["layer"]),
            ValueError,
            "layer is in modules_to_save",
        ),
        (lambda: merge_lora(Classifier()), ValueError, "Classifier holds no LoRALinear"),
        (lambda: unmerge_lora(Classifier()), ValueError, "holds no LoRALinear"),
        (lambda: lora_state_dict(Classifier()), ValueError, "holds no LoRALinear"),
        (
            lambda: load_lora_state_dict(adapted()[0], {"x": torch.ones(1)}),
            ValueError,
            r"missing \['layer.0.q_lin._extra_state', .*left over \['x'\]",
        ),
        (
            lambda: load_lora_state_dict(
                adapted()[0], lora_state_dict(adapted()[0]) | {"x": torch.ones(1)}
            ),
            ValueError,
            r"missing \[\], left over \['x'\]",
        ),
        (
            lambda: load_lora_state_dict(adapted()[0], lora_state_dict(adapted(alpha=2)[0])),
            ValueError,
            r"saved with scaling 1.0, [\w.]+ has 3.0",
        ),
        (
            lambda: load_lora_state_dict(adapted()[0], lora_state_dict(adapted(r=4, alpha=12)[0])),
            ValueError,
            "size mismatch: .* build it with the rank",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    "options",
    [{"r": 0}, {"lora_dropout": 2}, {"modules_to_save": ["nope"]}, {"rule": "x"}],
    ids=str,
)
def test_an_error_leaves_the_model_as_it_was(options):
    model = Classifier()
    before = str(model)
    with pytest.raises(ValueError):  # noqa: PT011
        add_lora(model, ["q_lin"], **{"r": 2, "alpha": 4, **options})
    assert str(model) == before
    assert all(p.requires_grad for p in model.parameters())


def test_an_error_in_a_second_call_leaves_the_first_copies_alone():
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(2)), nn.Sequential(nn.Linear(4, 2)))
    add_lora(model, "0", r=1, alpha=1, modules_to_save=["1"], adapter="a")
    before = str(model)
    with pytest.raises(ValueError, match=r"2\.0 lies in 2, leave it out"):
        add_lora(model, "0", r=1, alpha=1, modules_to_save=["1", "2", "2.0"], adapter="b")
    assert str(model) == before
