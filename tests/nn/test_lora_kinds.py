"""Each kind of layer that LoRA goes on, each variant, against peft."""

import copy

import peft
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from transformers.pytorch_utils import Conv1D

from dlkb.nn import (
    LoRAConv,
    LoRAConv1D,
    LoRAEmbedding,
    LoRALinear,
    LoRAMultiheadAttention,
    add_lora,
    detach_lora,
    lora_state_dict,
    merge_lora,
    unmerge_lora,
    without_lora,
)
from tests.close import assert_close


class Attend(nn.Module):
    def __init__(self, bias=True):
        super().__init__()
        self.part = nn.MultiheadAttention(6, 2, batch_first=True, bias=bias)

    def forward(self, x):
        return self.part(x, x, x)[0]


class Wrap(nn.Module):
    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, x):
        return self.part(x)


def ids(*shape):
    return torch.randint(9, shape)


LAYERS = {  # what makes the model, what makes its input, our class
    "linear": (lambda: Wrap(nn.Linear(7, 4)), lambda: torch.randn(3, 7).double(), LoRALinear),
    "no bias": (
        lambda: Wrap(nn.Linear(7, 4, bias=False)),
        lambda: torch.randn(2, 3, 7).double(),
        LoRALinear,
    ),
    "gpt": (lambda: Wrap(Conv1D(4, 7)), lambda: torch.randn(2, 3, 7).double(), LoRAConv1D),
    "table": (lambda: Wrap(nn.Embedding(9, 5)), lambda: ids(3, 4), LoRAEmbedding),
    "padded table": (
        lambda: Wrap(nn.Embedding(9, 5, padding_idx=2)),
        lambda: ids(3, 4),
        LoRAEmbedding,
    ),
    "conv1d": (
        lambda: Wrap(nn.Conv1d(4, 6, 3, padding="same")),
        lambda: torch.randn(2, 4, 8).double(),
        LoRAConv,
    ),
    "conv2d": (
        lambda: Wrap(nn.Conv2d(4, 6, (3, 2), stride=2, padding=1)),
        lambda: torch.randn(2, 4, 9, 8).double(),
        LoRAConv,
    ),
    "dilated": (
        lambda: Wrap(nn.Conv2d(4, 6, 3, dilation=(1, 2), padding=2, padding_mode="circular")),
        lambda: torch.randn(2, 4, 9, 8).double(),
        LoRAConv,
    ),
    "conv3d": (
        lambda: Wrap(nn.Conv3d(2, 4, 2, bias=False)),
        lambda: torch.randn(1, 2, 4, 3, 5).double(),
        LoRAConv,
    ),
    "pointwise": (
        lambda: Wrap(nn.Conv2d(4, 6, 1)),
        lambda: torch.randn(2, 4, 3, 3).double(),
        LoRAConv,
    ),
    "groups": (
        lambda: Wrap(nn.Conv2d(4, 6, 3, groups=2)),
        lambda: torch.randn(2, 4, 5, 5).double(),
        LoRAConv,
    ),
    "attention": (Attend, lambda: torch.randn(2, 3, 6).double(), LoRAMultiheadAttention),
    "attention without bias": (
        lambda: Attend(bias=False),
        lambda: torch.randn(2, 3, 6).double(),
        LoRAMultiheadAttention,
    ),
}
NOT_IN_PEFT = ["dilated", "groups"]  # it passes over dilation, and mixes groups
DORA = ["linear", "no bias", "gpt", "conv1d", "conv2d", "conv3d", "pointwise", "dilated", "groups"]


def base_and_input(kind):
    torch.manual_seed(0)
    make, make_input, _ = LAYERS[kind]
    return make().double().eval(), make_input()


def learn(model, scale=0.3):
    torch.manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p += scale * torch.randn(p.shape, dtype=torch.float64).to(p)
    return model


def as_peft(base, ours, **config):
    """The peft model with our factors."""
    config = peft.LoraConfig(target_modules=["part"], r=2, lora_alpha=6, **config)
    theirs = peft.get_peft_model(copy.deepcopy(base), config, autocast_adapter_dtype=False)
    names = {"lora_A": "lora_A.default.weight", "lora_B": "lora_B.default.weight"}
    names |= {"magnitude": "lora_magnitude_vector.default.weight"}
    if isinstance(base.part, nn.Embedding):
        names = {k: f"lora_embedding_{k[-1]}.default" for k in ("lora_A", "lora_B")}
    held = dict(theirs.named_parameters())
    with torch.no_grad():
        for key, value in lora_state_dict(ours).items():
            name, _, last = key.rpartition(".")
            if last in names:
                target = held[f"base_model.model.{name}.{names[last]}"]
                # peft 0.21 adds the update of an attention's out_proj twice.
                twice = 2 if last == "lora_B" and name.endswith("out_proj") else 1
                target.copy_(value.reshape(target.shape) / twice)
    return theirs


def gradients(model, x):
    inputs = [x] if x.requires_grad else []
    trained = [p for p in model.parameters() if p.requires_grad]
    y = model(x)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
    return y, torch.autograd.grad((y * weights).sum(), inputs + trained)


def by_hand(base, ours, x):
    """Call the base with weights that were summed entry by entry."""
    weights = {}
    for name, module in ours.named_modules():
        if hasattr(module, "base_layer"):
            A, B, weight = module.lora_A, module.lora_B, module.base_weight()
            name = name.replace(".base_layer", "")
            if isinstance(module.base_layer, nn.MultiheadAttention):
                weights[f"{name}.in_proj_weight"] = weight + module.scaling * B @ A
                continue
            groups = getattr(module.base_layer, "groups", 1)
            blocks = [b @ a for a, b in zip(A.chunk(groups), B.chunk(groups), strict=True)]
            update = torch.cat(blocks)
            turned = isinstance(module, LoRAEmbedding | LoRAConv1D)
            update = (update.T if turned else update).reshape(weight.shape)
            weights[f"{name}.weight"] = weight + module.scaling * update
    return torch.func.functional_call(base, weights, (x,))


def total(tensors):
    """Norms in order of size: peft lists parameters in another order."""
    return torch.stack(sorted((t.norm() for t in tensors), key=float))


@pytest.mark.parametrize("rule", ["lora", "rslora"])
@pytest.mark.parametrize("kind", LAYERS)
def test_each_kind_like_peft(kind, rule):
    base, x = base_and_input(kind)
    ours = add_lora(copy.deepcopy(base), ["part"], r=2, alpha=6, rule=rule)
    assert type(ours.part) is LAYERS[kind][2]
    assert_close(ours(x), base(x))
    learn(ours)
    if kind == "padded table":  # where it starts, and stays as it gets no gradient
        ours.part.lora_A.data[:, 2] = 0
    assert (ours(x) - base(x)).abs().max() > 0.01
    if x.is_floating_point():
        x.requires_grad_()
    y, mine = gradients(ours, x)
    trained = [p for p in ours.parameters() if p.requires_grad]
    z = by_hand(base, ours, x)
    assert_close(y, z, scale=10)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
    inputs = [x] * x.requires_grad
    for a, b in zip(mine, torch.autograd.grad((z * weights).sum(), inputs + trained), strict=True):
        assert_close(a, b, scale=100)
    if kind in NOT_IN_PEFT:
        return
    theirs = as_peft(base, ours, use_rslora=rule == "rslora", fan_in_fan_out=kind == "gpt")
    expected, other = gradients(theirs, x)
    assert_close(y, expected, scale=10)
    if not kind.startswith("attention"):
        assert_close(total(mine), total(other), scale=100)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("kind", [k for k in DORA if k not in NOT_IN_PEFT])
def test_dora_like_peft(kind, dropout):
    base, x = base_and_input(kind)
    ours = add_lora(copy.deepcopy(base), ["part"], r=2, alpha=6, dora=True, lora_dropout=dropout)
    assert_close(ours.eval()(x), base(x), scale=10)
    learn(ours)
    config = {"use_dora": True, "fan_in_fan_out": kind == "gpt", "lora_dropout": dropout}
    theirs = as_peft(base, ours, **config).eval()
    x.requires_grad_()
    y, mine = gradients(ours, x)
    expected, other = gradients(theirs, x)
    assert_close(y, expected, scale=10)
    assert_close(total(mine), total(other), scale=100)
    assert_close(merge_lora(ours)(x), y, scale=10)


@pytest.mark.parametrize("kind", ["linear", "no bias", "gpt"])
def test_pissa_like_peft(kind):
    base, x = base_and_input(kind)
    base, x = base.float(), x.float()
    ours = add_lora(copy.deepcopy(base), ["part"], r=2, alpha=6, init="pissa")
    assert torch.equal(ours(x), base(x))
    config = {"init_lora_weights": "pissa", "fan_in_fan_out": kind == "gpt"}
    theirs = as_peft(base, ours, **config)
    assert_close(ours(x), theirs(x), scale=10)
    learn(ours)
    theirs = as_peft(base, ours, **config)
    assert_close(ours(x), theirs(x), scale=10)
    assert (ours(x) - base(x)).abs().max() > 0.01
    frozen = {n for n, p in ours.named_parameters() if not p.requires_grad}
    assert {n.rpartition(".")[2] for n in frozen} >= {"start_A", "start_B", "weight"}
    with without_lora(ours):
        assert torch.equal(ours(x), base(x))
    assert_close(merge_lora(ours.eval())(x), theirs(x), scale=10)


@pytest.mark.parametrize("variant", [{}, {"dora": True}, {"bias": "lora_only"}], ids=str)
@pytest.mark.parametrize("kind", LAYERS)
def test_merge_switch_off_and_detach(kind, variant):
    base, x = base_and_input(kind)
    if variant.get("dora") and kind not in DORA:
        with pytest.raises(ValueError, match="dora is for linear layers"):
            add_lora(base, ["part"], r=2, alpha=6, **variant)
        return
    ours = learn(add_lora(copy.deepcopy(base), ["part"], r=2, alpha=6, **variant)).eval()
    y = ours(x)
    assert (y - base(x)).abs().max() > 0.01
    merged = merge_lora(copy.deepcopy(ours))
    assert_close(merged(x), y, scale=10)
    for model in (ours, merged):
        with torch.no_grad(), without_lora(model):
            assert torch.equal(model(x), base(x))
    assert torch.equal(unmerge_lora(merged)(x), y)
    with pytest.raises(RuntimeError, match="merged, so lora_A"):
        merge_lora(copy.deepcopy(ours)).train()(x)
    plain = detach_lora(copy.deepcopy(ours))
    assert type(plain.part) is type(base.part)
    assert_close(plain(x), y, scale=10)
    assert plain.state_dict().keys() == base.state_dict().keys()
    old = detach_lora(ours, merge=False)
    for key, value in old.state_dict().items():
        assert torch.equal(value, base.state_dict()[key])


def test_padding_stays_and_gets_no_gradient():
    base, _ = base_and_input("padded table")
    ours = add_lora(copy.deepcopy(base), ["part"], r=2, alpha=6)
    x = torch.tensor([2, 3])
    optimizer = torch.optim.SGD([p for p in ours.parameters() if p.requires_grad], lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        ours(x).square().sum().backward()
        optimizer.step()
    assert torch.equal(ours(x)[0], base(x)[0])
    assert not torch.equal(ours(x)[1], base(x)[1])


def test_bias_is_trained_in_a_copy_and_counts():
    for kind in ("linear", "conv2d", "attention", "gpt"):
        base, x = base_and_input(kind)
        ours = add_lora(copy.deepcopy(base), ["part"], r=2, alpha=6, bias="lora_only")
        biases = [p for n, p in ours.named_parameters() if p.requires_grad and n.endswith("bias")]
        assert len(biases) == (2 if kind == "attention" else 1)
        with torch.no_grad():
            for b in biases:
                b += 1
        assert (ours(x) - base(x)).abs().min() > 0.1, kind
        frozen = [p for n, p in ours.named_parameters() if "base_layer.bias" in n]
        assert all(not p.requires_grad for p in frozen)


def test_attention_in_the_encoder_of_torch():
    torch.manual_seed(0)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    x = torch.randn(2, 5, 8)
    ours = learn(add_lora(copy.deepcopy(encoder), ".*", r=2, alpha=4)).eval()
    assert isinstance(ours.self_attn, LoRAMultiheadAttention)
    assert isinstance(ours.self_attn.out_proj, LoRALinear)
    plain = detach_lora(copy.deepcopy(ours))
    assert_close(ours(x), plain(x))
    with torch.inference_mode():
        assert_close(ours(x), plain(x))
        assert_close(merge_lora(ours)(x), plain(x))
    assert (plain(x) - encoder.eval()(x)).abs().max() > 0.01


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_gpt2_like_peft():
    import transformers

    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=20, n_embd=8, n_layer=1, n_head=2, n_positions=6, n_inner=12
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    x = torch.arange(5)[None]
    ours = learn(add_lora(copy.deepcopy(model), "all-linear", r=2, alpha=4)).eval()
    found = {n for n, m in ours.named_modules() if isinstance(m, LoRAConv1D)}
    names = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    assert found == {f"transformer.h.0.{n}" for n in names}
    plain = detach_lora(copy.deepcopy(ours))
    assert_close(plain(x).logits, ours(x).logits)
    config = peft.LoraConfig(target_modules="all-linear", r=2, fan_in_fan_out=True)
    theirs = peft.get_peft_model(model, config)
    assert {n.removeprefix("base_model.model.") for n in theirs.targeted_module_names} == found


# Looks at the weight


def test_looks_at_the_weight_do_not_sum(monkeypatch):
    ours = learn(LoRALinear(nn.Linear(7, 4), r=2, alpha=6))
    sums = []
    monkeypatch.setattr(LoRALinear, "total", lambda self: sums.append(1))
    weight = ours.weight
    assert (weight.dtype, weight.device.type, tuple(weight.shape)) == (torch.float32, "cpu", (4, 7))
    assert (weight.ndim, weight.dim(), weight.size(0), weight.numel()) == (2, 2, 4, 28)
    assert weight.is_floating_point()
    assert not weight.is_cuda
    assert isinstance(weight, torch.Tensor)
    assert len(weight) == 4
    assert not sums


def test_the_weight_computes_like_the_sum():
    ours = learn(LoRALinear(nn.Linear(7, 4).double(), r=2, alpha=6))
    expected = ours.base_layer.weight + ours.scaling * ours.lora_B @ ours.lora_A
    weight, x = ours.weight, torch.randn(3, 7).double()
    assert_close(weight.detach(), expected)
    assert_close(weight + 0, expected)
    assert_close(torch.stack([weight, weight])[1], expected)
    assert_close(x @ weight.T, x @ expected.T)
    assert_close(nn.functional.linear(x, weight, bias=ours.bias), ours(x))
    assert_close(nn.functional.linear(input=x, weight=weight, bias=ours.bias), ours(x))
    assert weight.requires_grad
    (gradient,) = torch.autograd.grad(weight.square().sum(), [ours.lora_A])
    assert_close(gradient, torch.autograd.grad(expected.square().sum(), ours.lora_A)[0], scale=10)
    assert type(copy.deepcopy(ours).weight + 0) is torch.Tensor
    assert_close(torch.tensor(weight.tolist(), dtype=torch.float64), expected)
    assert torch.equal(weight.bfloat16(), expected.bfloat16())


def test_weight_under_compilation():
    ours = learn(LoRALinear(nn.Linear(7, 4), r=2, alpha=6))

    def like_t5(x):
        return ours(x.to(ours.weight.dtype)) @ ours.weight

    x = torch.randn(3, 7)
    torch.compiler.reset()
    assert_close(torch.compile(like_t5, fullgraph=True, backend="aot_eager")(x), like_t5(x))


# Weights that are computed, pruned, tied, quantized


def normed():
    return parametrizations.weight_norm(nn.Linear(6, 6))


def orthogonal():
    return parametrizations.orthogonal(nn.Linear(6, 6))


def pruned():
    return prune.l1_unstructured(nn.Linear(6, 6), "weight", amount=0.5)


def spectral():
    return nn.utils.spectral_norm(nn.Linear(6, 6)).eval()


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize(
    "make", [normed, orthogonal, pruned, spectral, lambda: nn.utils.weight_norm(nn.Linear(6, 6))]
)
def test_computed_and_pruned_weights(make):
    torch.manual_seed(0)
    base = nn.Sequential(make())
    x = torch.randn(3, 6)
    expected = base(x)
    ours = learn(add_lora(base, ["0"], r=2, alpha=4)).eval()
    y = ours(x)
    assert (y - expected).abs().max() > 0.01
    assert_close(merge_lora(ours)(x), y)
    assert torch.equal(unmerge_lora(ours)(x), y)
    assert len(lora_state_dict(ours)) == 3
    plain = detach_lora(ours)
    assert_close(plain(x), y)
    assert set(plain.state_dict()) == {"0.weight", "0.bias"}
    assert type(plain[0]) is nn.Linear
    back = nn.Sequential(make()).eval()
    z = back(x)
    assert_close(detach_lora(learn(add_lora(back, ["0"], r=2, alpha=4)), merge=False)(x), z)


class Codes(nn.Linear):
    """A linear layer that keeps its weight in eight bits, as quantizers do."""

    def __init__(self, n, m):
        super().__init__(n, m)
        weight = self.weight.detach()
        self.step = weight.abs().max() / 127
        codes = (weight / self.step).round().to(torch.int8)
        self.weight = nn.Parameter(codes, requires_grad=False)

    def forward(self, x):
        return nn.functional.linear(x, self.weight * self.step, self.bias)


class Scaled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def test_quantized_and_own_layers_train_and_say_what_they_cannot():
    torch.manual_seed(0)
    x = torch.randn(3, 6)
    model = nn.Sequential(nn.Linear(6, 6), Codes(6, 4))
    with pytest.raises(TypeError, match=r"1 is quantized .*int8.*dtype=torch.bfloat16"):
        add_lora(model, ["0", "1"], r=2, alpha=4)
    assert isinstance(model[0], nn.Linear)
    assert model[0].weight.requires_grad
    with pytest.raises(TypeError, match="dora and pissa read the weight"):
        add_lora(model, ["1"], r=2, alpha=4, dora=True, dtype=torch.float32)
    y = model(x)
    ours = learn(add_lora(model, ["0", "1"], r=2, alpha=4, dtype=torch.float32)).eval()
    ours(x).sum().backward()
    assert ours[1].lora_A.grad.abs().sum() > 0
    with without_lora(ours):
        assert torch.equal(ours(x), y)
    for call in (merge_lora, detach_lora):
        with pytest.raises(TypeError, match="1 cannot be merged: Codes is quantized"):
            call(ours)
        assert not ours[0].merged
    assert torch.equal(detach_lora(ours, merge=False)(x), y)
    own = add_lora(nn.Sequential(Scaled(6, 6)), ["0"], r=2, alpha=4).eval()
    own(x)
    with pytest.raises(TypeError, match="Scaled has a forward of its own"):
        merge_lora(own)


def test_a_class_of_a_quantizer_is_named():
    class QuantLinear(nn.Module):
        qweight = torch.zeros(1)

    with pytest.raises(TypeError, match=r"0 is QuantLinear: .*quantized in a class of its own"):
        add_lora(nn.Sequential(QuantLinear()), ["0"], r=1, alpha=1)


def test_tied_weights_are_adapted_apart_and_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
            self.head.weight = self.table.weight

        def forward(self, ids):
            return self.head(self.table(ids))

    torch.manual_seed(0)
    model, x = Tied(), torch.arange(5)
    y = model(x)
    before = model.head.weight.clone()
    ours = learn(add_lora(model, ["table", "head"], r=2, alpha=4)).eval()
    assert ours.head.base_layer.weight is ours.table.base_layer.weight
    assert sum(p.numel() for p in ours.parameters()) == 20 + 2 * 2 * 9
    z = ours(x)
    plain = detach_lora(copy.deepcopy(ours))
    assert_close(plain(x), z)
    assert plain.head.weight is not plain.table.weight
    assert torch.equal(ours.head.base_layer.weight, before)
    back = detach_lora(ours, merge=False)
    assert back.head.weight is back.table.weight
    assert torch.equal(back(x), y)


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (nn.Embedding(3, 2, max_norm=1.0), {}, ValueError, "part has max_norm"),
        (nn.Embedding(3, 2), {"lora_dropout": 0.1}, ValueError, "lora_dropout would do nothing"),
        (nn.Conv2d(4, 4, 1, groups=4), {"r": 2}, ValueError, "a multiple of its 4 groups"),
        (nn.Conv2d(4, 4, 1), {"init": "pissa"}, ValueError, "pissa is for linear"),
        (nn.MultiheadAttention(4, 2, kdim=3), {}, ValueError, "part has kdim or vdim"),
        (nn.MultiheadAttention(4, 2), {"dora": True}, ValueError, "dora is for linear"),
        (nn.ConvTranspose2d(4, 4, 1), {}, TypeError, "part is ConvTranspose2d"),
        (nn.LazyLinear(4), {}, ValueError, "part has no weight yet"),
        (nn.Linear(4, 4), {"init": "olora"}, ValueError, "init is 'olora'"),
        (nn.Linear(4, 4), {"bias": "some"}, ValueError, "bias is 'some'"),
        (nn.Linear(4, 4), {"adapter": "a.b"}, ValueError, "adapter is 'a.b'"),
        (nn.Linear(4, 4), {"adapter": "train"}, ValueError, "adapter is 'train'"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_what_is_refused_is_refused_before_anything_changes(model, options, error, message):
    model = nn.ModuleDict({"first": nn.Linear(2, 2), "part": model})
    before = str(model)
    with pytest.raises(error, match=message):
        add_lora(model, ["first", "part"], **{"r": 2, "alpha": 4, **options})
    assert str(model) == before
    assert model["first"].weight.requires_grad


@pytest.mark.parametrize("kind", [LoRAConv, LoRAConv1D, LoRAEmbedding, LoRAMultiheadAttention])
def test_layers_name_what_they_need(kind):
    with pytest.raises(TypeError, match=r"base_layer is Linear: .* is needed"):
        kind(nn.Linear(2, 2), r=1, alpha=1)


def test_an_attention_and_its_out_proj_are_one_target():
    counts = []
    for targets in (["self_attn"], ["self_attn", "out_proj"], ".*self_attn.*"):
        model = add_lora(nn.TransformerEncoderLayer(8, 2, 16), targets, r=1, alpha=1)
        counts.append(sum(p.numel() for p in model.parameters() if p.requires_grad))
    assert counts[0] == counts[1] == counts[2]
