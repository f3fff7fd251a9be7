import copy

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from dlkb.nn import (
    AdaptedLayer,
    Adapter,
    AdapterFusion,
    add_adapter,
    fuse_adapters,
    use_adapter,
)
from scripts.peers.apart import with_adapters
from scripts.peers.finetuning.adapters import WIDTH
from tests.close import assert_close


@pytest.fixture(scope="module")
def library():
    """What modules of the library `adapters` compute, run where its Transformers is."""
    return with_adapters("scripts.peers.finetuning.adapters", "reference")


def tensors(state):
    return {name: torch.tensor(values) for name, values in state.items()}


@pytest.mark.parametrize(
    ("name", "options"), [("seq_bn", {}), ("par_bn", {"scaling": 4.0})], ids=["behind", "beside"]
)
def test_the_adapter_is_that_of_the_library(library, name, options):
    theirs = library[name]
    ours = Adapter(8, 3, "relu", **options)
    ours.load_state_dict(tensors(theirs["state"]))
    assert list(ours.state_dict()) == list(theirs["state"])
    h, residual = torch.tensor(library["h"]), torch.tensor(library["residual"])
    output = ours(h, residual) if name == "seq_bn" else ours.branch(h)
    assert_close(output, torch.tensor(theirs["output"]))
    output.square().sum().backward()
    for key, parameter in ours.named_parameters():
        assert_close(parameter.grad, torch.tensor(theirs["gradients"][key]), scale=20)


def test_the_fusion_is_that_of_the_library(library):
    theirs, ours = library["fusion"], AdapterFusion(8)
    assert_close(ours.value.weight, torch.tensor(theirs["start"]["value.weight"]))
    ours.load_state_dict(tensors(theirs["state"]))
    h, z = torch.tensor(library["h"]), torch.tensor(theirs["z"])
    assert_close(ours(h, z), torch.tensor(theirs["output"]))
    weights = ours.weights(h, z)
    assert weights.shape == (2, 3, 4)
    assert_close(weights.sum(-1), torch.ones(2, 3))
    ours.key.bias.data += 5
    assert torch.equal(ours(h, z), ours(h, z))
    assert_close(ours.weights(h, z), weights)


def bert(state=None):
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(**sizes, intermediate_size=48, vocab_size=20, max_position_embeddings=8)
    torch.manual_seed(0)
    model = BertModel(config).eval()
    if state is not None:
        model.load_state_dict(state)
    return model


def test_a_bert_with_two_adapters_a_layer_is_that_of_the_library(library):
    theirs = library["bert"]
    model = bert(tensors(theirs["base"]))
    plain = model(torch.arange(5)[None]).last_hidden_state
    places = {"width": WIDTH, "bottleneck": WIDTH // 16, "non_linearity": "swish"}
    add_adapter(model, ["output.dense"], **places)
    assert torch.equal(model(torch.arange(5)[None]).last_hidden_state, plain)
    blocks = [m for m in model.modules() if isinstance(m, Adapter)]
    for block, state in zip(blocks, theirs["adapters"], strict=True):
        block.load_state_dict(tensors(state))
    found = model(torch.arange(5)[None]).last_hidden_state
    assert_close(found, torch.tensor(theirs["output"]), scale=10)
    assert (found - plain).abs().max() > 0.1


def test_each_stage_trains_what_the_library_trains(library):
    model, places = bert(), {"width": WIDTH, "bottleneck": 2}
    for name in ("b", "a"):
        add_adapter(model, ["output.dense"], name=name, **places)
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert len(trained) == len(library["trained"]["first"]) == 2 * 2 * 4
    assert all(".adapters.a." in name for name in trained)
    fuse_adapters(model, ["a", "b"])
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert len(trained) == len(library["trained"]["second"]) == 2 * 2 * 5
    assert all(".fusion." in name for name in trained)


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 3)).double()


def step(model, x):
    model(x).square().sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:  # the bias of the keys has none
                parameter -= 0.1 * parameter.grad
    model.zero_grad()


def changed(before, model):
    return {n for n, p in model.state_dict().items() if not torch.equal(p, before[n])}


def test_stages_change_what_they_train_and_nothing_else(device):
    model, x = mlp().to(device), torch.ones(5, 6, dtype=torch.float64, device=device)
    plain = model(x)
    options = {"width": 4, "bottleneck": 2, "std": 0.5}
    for name in ("a", "b"):
        add_adapter(model, ["0", "2"], name=name, train=["3"], **options)
        before = copy.deepcopy(model.state_dict())
        step(model, x)
        moved = changed(before, model)
        assert {n.split(".")[2] for n in moved if n[0] != "3"} == {name}
        assert {n for n in moved if n[0] == "3"} == {"3.weight", "3.bias"}
    fuse_adapters(model, ["a", "b"])
    before = copy.deepcopy(model.state_dict())
    step(model, x)
    moved = changed(before, model)
    assert {n.split(".")[1] for n in moved} == {"fusion"}
    assert {n.rpartition(".fusion.")[2] for n in moved} >= {"query.weight", "value.weight"}
    fused = model(x)
    use_adapter(model, "a")
    assert not torch.equal(model(x), fused)
    use_adapter(model, "a", "b")
    assert torch.equal(model(x), fused)
    model[3].load_state_dict(mlp()[3].state_dict())
    assert_close(use_adapter(model)(x), plain)


def test_a_fusion_of_equal_adapters_is_the_adapter():
    model, x = mlp(), torch.ones(5, 6, dtype=torch.float64)
    for name in ("a", "b"):
        torch.manual_seed(7)
        add_adapter(model, ["2"], name=name, width=4, bottleneck=2, std=0.5)
    alone = model(x)
    fuse_adapters(model, ["a", "b"])
    assert_close(model(x), alone, scale=1e7)  # the value starts within 1e-6 of the identity
    assert not torch.equal(model(x), alone)


def test_a_layer_without_all_of_the_fused_adapters_uses_none():
    model, x = mlp(), torch.ones(5, 6, dtype=torch.float64)
    options = {"width": 4, "bottleneck": 2, "std": 0.5}
    add_adapter(model, ["2"], name="b", **options)
    add_adapter(model, ["0", "2"], name="a", **options)
    fused = fuse_adapters(model, ["a", "b"])(x)
    assert model[0].active == []
    assert torch.equal(use_adapter(model, "a", "b")(x), fused)


def test_parallel_adapters_read_the_input():
    model = add_adapter(
        nn.Sequential(nn.Linear(4, 4)), ["0"], width=4, bottleneck=2, parallel=True, std=0.5
    )
    layer, x = model[0], torch.randn(3, 4)
    assert isinstance(layer, AdaptedLayer)
    expected = layer.base_layer(x) + layer.adapters["default"].branch(x)
    assert_close(model(x), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_adapters_have_the_dtype_of_the_layer(dtype):
    model = mlp().to(dtype)
    for name in ("a", "b"):
        add_adapter(model, ["0"], name=name, width=4, bottleneck=2)
    fuse_adapters(model, ["a", "b"])
    assert {p.dtype for p in model.parameters()} == {dtype}
    x = torch.ones(0, 6, dtype=dtype)
    assert model(x).shape == (0, 3)
    assert model(torch.ones(2, 3, 6, dtype=dtype)).dtype == dtype


def test_mode_state_and_compilation_follow_the_model():
    model = mlp().eval()
    for name in ("a", "b"):
        add_adapter(model, ["0", "2"], name=name, width=4, bottleneck=2, std=0.1)
    fuse_adapters(model, ["a", "b"])
    assert not any(m.training for m in model.modules())
    twin = copy.deepcopy(model)
    twin.load_state_dict(model.state_dict())
    x = torch.ones(3, 6, dtype=torch.float64)
    torch.compiler.reset()
    compiled = torch.compile(twin, fullgraph=True, backend="aot_eager")
    assert_close(compiled(x), model(x))


def test_a_shared_module_stays_shared():
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    add_adapter(model, ["0", "2"], width=4, bottleneck=2, std=0.5)
    assert model[0] is model[2]
    assert model[0].base_layer is shared
    assert sum(p.requires_grad for p in model.parameters()) == 4


def test_the_dtype_is_that_of_a_floating_point_parameter():
    layer = nn.Linear(4, 4).bfloat16()
    layer.weight = nn.Parameter(torch.zeros(4, 4, dtype=torch.int8), requires_grad=False)
    model = add_adapter(nn.Sequential(layer), ["0"], width=4, bottleneck=2)
    assert model[0].adapters["default"].adapter_up.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("grad", [False, True])
def test_the_fast_path_of_torch_does_not_pass_over_adapters(masked, grad):
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    model, x = nn.TransformerEncoder(block, 2, enable_nested_tensor=False), torch.randn(2, 5, 8)
    places = ["dropout1", "dropout2"]
    add_adapter(model, places, width=8, bottleneck=2, std=0.5)
    mask = {"src_key_padding_mask": torch.arange(5) > torch.tensor([[4], [2]])} if masked else {}
    with torch.set_grad_enabled(grad):
        expected = model.train()(x, **mask)
        assert_close(model.eval()(x, **mask), expected)
        assert not torch.allclose(use_adapter(model)(x, **mask), expected, atol=0.1)


def test_draws_follow_the_generator_and_say_what_they_are():
    one, two = (
        Adapter(6, 2, std=0.5, generator=torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(one.adapter_up.weight, two.adapter_up.weight)
    assert one.adapter_up.weight.abs().max() > 0.1
    assert "non_linearity='relu', scaling=1.0" in repr(one)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Adapter(4, 0), "m is 0"),
        (lambda: Adapter(4, 2, "tanh"), "non_linearity is 'tanh'"),
        (lambda: use_adapter(mlp(), "a"), "holds no adapter: call add_adapter first"),
        (lambda: use_adapter(one_adapter(), "b"), r"no layer has all of the adapters \['b'\]"),
        (lambda: use_adapter(two_adapters(), "a", "b"), r"\['a', 'b'\] are not fused"),
        (lambda: fuse_adapters(two_adapters(), ["a"]), "takes two adapters or more"),
        (lambda: fuse_adapters(two_adapters(), ["a", "c"]), "no layer has all"),
        (lambda: one_adapter(one_adapter()), "0 has an adapter called 'a': take another name"),
        (
            lambda: two_adapters(parallel=True),
            "parallel is True: 0 has adapters with",
        ),
        (lambda: one_adapter(modules=["nothing"]), "modules: no module is called 'nothing'"),
        (lambda: one_adapter(train=["nothing"]), "train: no module is called 'nothing'"),
        (
            lambda: one_adapter(nn.TransformerEncoderLayer(4, 2, 8), ["self_attn.out_proj"]),
            "self_attn.out_proj belongs to nn.MultiheadAttention, which reads its weight",
        ),
    ],
)
def test_errors_name_the_remedy(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "options",
    [{"bottleneck": 0}, {"non_linearity": "tanh"}, {"std": -1.0}, {"train": ["nothing"]}]
    + [{"name": name} for name in ("", "a.b", "train")],
    ids=str,
)
def test_an_error_leaves_the_model_as_it_was(options):
    model = mlp()
    with pytest.raises(ValueError):  # noqa: PT011
        add_adapter(model, ["0", "2"], **{"width": 4, "bottleneck": 2, **options})
    assert str(model) == str(mlp())
    assert all(p.requires_grad for p in model.parameters())
    model = two_adapters()
    with pytest.raises(ValueError, match="train: no module is called 'nothing'"):
        fuse_adapters(model, ["a", "b"], train=["nothing"])
    assert model[0].fusion is None


def one_adapter(model=None, modules=("0",), **options):
    model = model or mlp()
    return add_adapter(model, modules, name="a", width=4, bottleneck=2, **options)


def two_adapters(**options):
    return add_adapter(one_adapter(), ["0"], name="b", width=4, bottleneck=2, **options)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_with_a_padding_mask_nested_tensors_do_not_take_adapters():
    block = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
    padded = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    for nested in (False, True):
        model = nn.TransformerEncoder(block, 2, enable_nested_tensor=nested)
        add_adapter(model, ["dropout2"], width=8, bottleneck=2).eval()
        if nested:
            with pytest.raises(RuntimeError, match="NestedTensor"):
                model(torch.zeros(2, 5, 8), src_key_padding_mask=padded)
        else:
            assert model(torch.zeros(2, 5, 8), src_key_padding_mask=padded).shape == (2, 5, 8)
