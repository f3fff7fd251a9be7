"""Adapters in peft's files, read and written, against peft in both directions."""

import json
import warnings

import peft
import pytest
import safetensors.torch
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from dlkb.nn import (
    LoRALinear,
    add_lora,
    combine_lora,
    detach_lora,
    load_peft,
    lora_plus_groups,
    lora_state_dict,
    merge_lora,
    save_peft,
    set_adapter,
    trainable_parameters,
    without_lora,
)
from dlkb.nn.lora._safetensors import read_safetensors, write_safetensors
from tests.close import assert_close

IDS = torch.arange(8).reshape(2, 4)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(9, 6, padding_idx=0)
        self.mix = nn.Conv1d(6, 6, 3, padding=1)
        self.gpt = Conv1D(6, 6)
        self.block = nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 6, bias=False)])
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 3)

    def forward(self, ids):
        x = self.table(ids)
        x = x + self.mix(x.transpose(1, 2)).transpose(1, 2)
        x = x + self.gpt(x).tanh()
        for layer in self.block:
            x = x + layer(x).tanh()
        return self.head(self.norm(x))


def net():
    torch.manual_seed(0)
    return Net()


def learn(model):
    torch.manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p += 0.3 * torch.randn(p.shape)
    return model.eval()


LINEAR = ["block.0", "block.1"]
CASES = {  # ours, peft's
    "plain": ({"targets": LINEAR}, {"target_modules": LINEAR}),
    "all kinds": (
        {"targets": [*LINEAR, "table", "mix"], "modules_to_save": ["head"]},
        {"target_modules": [*LINEAR, "table", "mix"], "modules_to_save": ["head"]},
    ),
    "gpt": ({"targets": ["gpt"]}, {"target_modules": ["gpt"], "fan_in_fan_out": True}),
    "rslora": ({"targets": LINEAR, "rule": "rslora"}, {"use_rslora": True}),
    "dora": (
        {"targets": [*LINEAR, "mix"], "dora": True},
        {"target_modules": [*LINEAR, "mix"], "use_dora": True},
    ),
    "pissa": ({"targets": LINEAR, "init": "pissa"}, {"init_lora_weights": "pissa"}),
    "patterns": (
        {
            "targets": [*LINEAR, "head", "mix"],
            "rank_pattern": {"block.1": 4, "mix": 1},
            "alpha_pattern": {"head": 3},
        },
        {
            "target_modules": [*LINEAR, "head", "mix"],
            "rank_pattern": {"block.1": 4, "mix": 1},
            "alpha_pattern": {"head": 3},
        },
    ),
    "biases of LoRA": ({"targets": LINEAR, "bias": "lora_only"}, {"bias": "lora_only"}),
    "all biases": ({"targets": LINEAR, "bias": "all"}, {"bias": "all"}),
    "dropout": ({"targets": LINEAR, "lora_dropout": 0.3}, {"lora_dropout": 0.3}),
    "saved": (
        {"targets": ["block.0"], "modules_to_save": ["head", "norm"]},
        {"target_modules": ["block.0"], "modules_to_save": ["head", "norm"]},
    ),
}


def of_peft(config):
    given = {"target_modules": LINEAR, "r": 2, "lora_alpha": 6} | config
    return peft.get_peft_model(net(), peft.LoraConfig(**given))


def of_ours(options):
    given = {"r": 2, "alpha": 6} | options
    return add_lora(net(), given.pop("targets"), **given)


@pytest.mark.parametrize("case", CASES)
def test_what_peft_writes_is_read(case, tmp_path):
    theirs = learn(of_peft(CASES[case][1]))
    theirs.save_pretrained(tmp_path)
    ours = load_peft(net(), tmp_path).eval()
    assert_close(ours(IDS), theirs(IDS), scale=10)
    assert (ours(IDS) - net()(IDS)).abs().max() > 0.01
    with without_lora(ours):
        assert torch.equal(ours(IDS), net()(IDS))
    count = theirs.get_nb_trainable_parameters()[0]
    if case not in ("all biases", "biases of LoRA"):
        assert trainable_parameters(ours).trainable == count
    again = tmp_path / "again"
    save_peft(ours, again)
    first = safetensors.torch.load_file(tmp_path / "adapter_model.safetensors")
    second = safetensors.torch.load_file(again / "adapter_model.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("case", CASES)
def test_what_we_write_is_read_by_peft(case, tmp_path):
    ours = learn(of_ours(CASES[case][0]))
    save_peft(ours, tmp_path, base_model="a model")
    theirs = peft.PeftModel.from_pretrained(net(), tmp_path).eval()
    assert_close(theirs(IDS), ours(IDS), scale=10)
    config = theirs.peft_config["default"]
    expected = of_peft(CASES[case][1]).peft_config["default"]
    assert config.base_model_name_or_path == "a model"
    for name in ("bias", "use_rslora", "use_dora", "lora_dropout", "fan_in_fan_out"):
        assert getattr(config, name) == getattr(expected, name)
    twin = load_peft(net(), tmp_path, adapter="twin").eval()
    assert_close(twin(IDS), ours(IDS))
    state = lora_state_dict(twin, adapter="twin")
    for key, value in lora_state_dict(ours).items():
        assert torch.equal(state[key], value), key


@pytest.mark.parametrize("case", CASES)
def test_the_same_parameters_as_peft(case):
    ours, theirs = of_ours(CASES[case][0]), of_peft(CASES[case][1])
    count = sum(p.numel() for p in ours.parameters() if p.requires_grad)
    assert count == theirs.get_nb_trainable_parameters()[0]


@pytest.mark.parametrize("argument", ["rank_pattern", "alpha_pattern"])
def test_patterns_match_the_end_of_a_name_or_are_refused(argument):
    for pattern in ("block", "lock.0", "0x", "head"):
        with pytest.raises(ValueError, match=f"{argument}: '{pattern}' matches no target"):
            of_ours({"targets": LINEAR, argument: {pattern: 5}})
    ours = of_ours({"targets": LINEAR, argument: {"[01]": 5, "block.1": 7}})
    assert {getattr(m.options, {"r": "r"}.get(argument[0], "alpha")) for m in ours.block} == {5}


def test_rule_alpha_is_written_as_a_scaling(tmp_path):
    ours = learn(of_ours({"targets": LINEAR, "rule": "alpha", "rank_pattern": {"1": 3}}))
    save_peft(ours, tmp_path)
    theirs = peft.PeftModel.from_pretrained(net(), tmp_path).eval()
    assert_close(theirs(IDS), ours(IDS))
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (2, 12)
    assert config["rank_pattern"] == {"^block\\.1": 3}
    assert config["alpha_pattern"] == {"^block\\.1": 18}


def test_an_attention_is_read_and_the_doubling_of_peft_named(tmp_path):
    def attention():
        torch.manual_seed(0)
        return nn.ModuleDict({"attn": nn.MultiheadAttention(6, 2)}).eval()

    x = torch.randn(3, 2, 6)
    config = peft.LoraConfig(target_modules=["attn"], r=2, lora_alpha=6)
    theirs = learn(peft.get_peft_model(attention(), config))
    theirs.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="adds the update of out_proj .* twice"):
        ours = load_peft(attention(), tmp_path).eval()
    with torch.no_grad():
        theirs = theirs.base_model.model["attn"]
        theirs.base_layer.out_proj.lora_B["default"].weight /= 2
        assert_close(ours["attn"](x, x, x)[0], theirs(x, x, x)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_peft(ours, tmp_path / "ours")
        again = load_peft(attention(), tmp_path / "ours").eval()
    assert torch.equal(again["attn"](x, x, x)[0], ours["attn"](x, x, x)[0])


def test_reading_into_a_model_that_has_the_adapter(tmp_path):
    options = CASES["all kinds"][0]
    ours = learn(of_ours(options))
    save_peft(ours, tmp_path)
    fresh = of_ours(options).eval()
    assert load_peft(fresh, tmp_path) is fresh
    assert torch.equal(fresh(IDS), ours(IDS))
    with pytest.raises(ValueError, match=r"saved with scaling 3.0, [\w.]+ has 6.0"):
        load_peft(of_ours(options | {"alpha": 12}), tmp_path)


def test_factors_in_another_dtype(tmp_path):
    save_peft(learn(of_ours({"targets": LINEAR, "dtype": torch.bfloat16})), tmp_path)
    tensors = safetensors.torch.load_file(tmp_path / "adapter_model.safetensors")
    assert {t.dtype for t in tensors.values()} == {torch.bfloat16}
    model = load_peft(net().to(torch.bfloat16), tmp_path, dtype=torch.float32)
    assert model.block[0].lora_A.dtype == torch.float32


@pytest.mark.parametrize("default", ["meta", None])
def test_files_do_not_depend_on_the_default_device(default, tmp_path):
    ours = learn(of_ours(CASES["all kinds"][0]))
    fresh = net()
    torch.set_default_device(default)
    try:
        save_peft(ours, tmp_path)
        load_peft(fresh, tmp_path)
    finally:
        torch.set_default_device(None)
    assert torch.equal(fresh.eval()(IDS), ours(IDS))


def config_with(tmp_path, **entries):
    save_peft(of_ours({"targets": LINEAR}), tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"use_qalora": True}, r"uses \['use_qalora'\]"),
        ({"lora_bias": True}, r"uses \['lora_bias'\]"),
        ({"trainable_token_indices": [1]}, r"uses \['trainable_token_indices'\]"),
        ({"init_lora_weights": "olora"}, "'olora', which changed the weights"),
        ({"init_lora_weights": "pissa_niter_4"}, "'pissa_niter_4', which changed"),
        ({"use_dora": True}, r"lacks block\.0\.magnitude"),
    ],
    ids=str,
)
def test_configurations_that_are_not_read(entries, message, tmp_path):
    config_with(tmp_path, **entries)
    model = net()
    with pytest.raises(ValueError, match=message):
        load_peft(model, tmp_path)
    assert str(model) == str(net())
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t | {"base_model.model.extra": torch.ones(1)}, "the file holds extra"),
        (
            lambda t: t | {"base_model.model.block.0.base_layer.weight": torch.ones(6, 6)},
            "the file holds block.0.base_layer.weight .*vocabulary",
        ),
        (lambda t: {k: v for k, v in t.items() if "1.lora_B" not in k}, "lacks block.1.lora_B"),
        (lambda t: {k.replace("block", "layer"): v for k, v in t.items()}, "which the model lacks"),
        (lambda t: {k: v[..., :-1] for k, v in t.items()}, "size mismatch: block.0.lora_A"),
    ],
)
def test_tensors_that_do_not_fit(change, message, tmp_path):
    save_peft(of_ours({"targets": LINEAR}), tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    tensors = safetensors.torch.load_file(path)
    safetensors.torch.save_file({k: v.contiguous() for k, v in change(tensors).items()}, path)
    model = net()
    with pytest.raises(ValueError, match=message):
        load_peft(model, tmp_path)
    assert str(model) == str(net())


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        (
            {"bias": "lora_only"},
            lambda t: {k: v for k, v in t.items() if "bias" not in k},
            r"lacks block\.0\.bias",
        ),
        (
            {"bias": "lora_only"},
            lambda t: {k: v[:-1] if "bias" in k else v for k, v in t.items()},
            r"size mismatch: block\.0\.bias",
        ),
        (
            {"bias": "all"},
            lambda t: {k: v for k, v in t.items() if "head" not in k},
            r"lacks head\.bias",
        ),
        (
            {},
            lambda t: t | {"base_model.model.block.0.lora_magnitude_vector": torch.ones(6)},
            r"holds block\.0\.magnitude, which",
        ),
    ],
)
def test_biases_and_lengths_that_do_not_fit(options, change, message, tmp_path):
    save_peft(of_ours({"targets": LINEAR} | options), tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    safetensors.torch.save_file(change(safetensors.torch.load_file(path)), path)
    model = net()
    with pytest.raises(ValueError, match=message):
        load_peft(model, tmp_path)
    assert str(model) == str(net())
    assert all(p.requires_grad for p in model.parameters())


def test_dora_of_an_embedding_is_refused(tmp_path):
    config = {"target_modules": ["table", "block.0"], "use_dora": True}
    of_peft(config).save_pretrained(tmp_path)
    model = net()
    with pytest.raises(ValueError, match=r"holds table\.magnitude, .*DoRA of an embedding"):
        load_peft(model, tmp_path)
    assert str(model) == str(net())


def test_weights_of_the_base_in_the_file_are_passed_over(tmp_path):
    save_peft(of_ours({"targets": ["table"]}), tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    tensors = safetensors.torch.load_file(path)
    tensors["base_model.model.table.base_layer.weight"] = net().table.weight.detach()
    safetensors.torch.save_file(tensors, path)
    load_peft(net(), tmp_path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: add_lora(of_ours({"targets": ["block.0"]}), ["mix"], r=1, alpha=1, dora=True),
            "layers differ in",
        ),
        (
            lambda: add_lora(nn.Sequential(nn.Conv1d(4, 4, 1, groups=2)), ["0"], r=2, alpha=1),
            "0 has groups",
        ),
        (net, "holds no LoRALinear"),
    ],
)
def test_what_peft_cannot_say_is_not_written(make, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        save_peft(make(), tmp_path / "new")
    assert not (tmp_path / "new").exists()


# The format


DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"]
DTYPES += ["complex64", "uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2"]


def test_safetensors_like_the_library(tmp_path):
    values = torch.arange(6).reshape(2, 3) - 2
    tensors = {name: values.to(getattr(torch, name)) for name in DTYPES}
    tensors |= {"truth": values > 0, "none": torch.ones(0, 3), "one": torch.tensor(2.5)}
    tensors["turned"] = torch.arange(6.0).reshape(2, 3).T
    path = tmp_path / "x.safetensors"
    write_safetensors(path, tensors)
    theirs = safetensors.torch.load_file(path)
    safetensors.torch.save_file({k: v.contiguous() for k, v in tensors.items()}, path)
    ours = read_safetensors(path)
    for found in (theirs, ours):
        assert found.keys() == tensors.keys()
        for key, value in tensors.items():
            assert found[key].dtype == value.dtype
            assert found[key].tolist() == value.tolist()
    ours["float32"] += 1  # its own memory


def test_safetensors_that_are_no_such_file(tmp_path):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {"a": torch.ones(3)})
    data = path.read_bytes()
    for wrong in (data[:-1], data[:20], b"", b"PK" + data, data.replace(b"[3]", b"[4]")):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match=r"x\.safetensors is cut off, or no safetensors file"):
            read_safetensors(path)
    for wrong in (b'"shape": [-3]', b'"dtype": "F31"'):
        kind = wrong[:8]
        start = data.index(kind)
        end = start + min(data[start:].index(b","), data[start:].index(b"]") + 1)
        header = data[8 : data.index(b"}}") + 2].replace(data[start:end], wrong)
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(12))
        with pytest.raises(ValueError, match=r"x\.safetensors is cut off, or no safetensors file"):
            read_safetensors(path)
    with pytest.raises(TypeError, match=r"a has dtype torch.complex128"):
        write_safetensors(path, {"a": torch.ones(2, dtype=torch.complex128)})


# Several adapters, against peft


def two():
    ours = of_ours({"targets": ["block.0", "head"], "adapter": "red"})
    learn(ours)
    add_lora(ours, LINEAR, r=1, alpha=2, adapter="blue")
    torch.manual_seed(5)
    for layer in ours.block:
        layer.adapters["blue"].lora_B.data.normal_()
    return ours.eval()


def two_of_peft(ours, tmp_path):
    for name in ("red", "blue"):
        save_peft(ours, tmp_path / name, adapter=name)
    theirs = peft.PeftModel.from_pretrained(net(), tmp_path / "red", adapter_name="red")
    theirs.load_adapter(tmp_path / "blue", adapter_name="blue")
    return theirs.eval()


def test_one_adapter_several_none(tmp_path):
    ours = two()
    theirs = two_of_peft(ours, tmp_path)
    assert ours.block[0].active == ["blue"]
    assert ours.head.active == []
    for name in ("red", "blue", "red"):
        set_adapter(ours, name)
        theirs.set_adapter(name)
        assert_close(ours(IDS), theirs(IDS))
        names = {n.split(".adapters.")[1].split(".")[0] for n in trainable_parameters(ours).counts}
        assert names == {name}
    set_adapter(ours, ["red", "blue"])
    theirs.base_model.set_adapter(["red", "blue"])
    assert_close(ours(IDS), theirs(IDS))
    y = ours(IDS)
    for layer in (*ours.block, ours.head):
        layer.merge()
    assert_close(ours(IDS), y)
    set_adapter(ours, "red")
    theirs.set_adapter("red")
    assert_close(ours(IDS), theirs(IDS))
    with without_lora(ours):
        assert torch.equal(ours(IDS), net()(IDS))
        with without_lora(ours):
            pass
        assert torch.equal(ours(IDS), net()(IDS))
    assert_close(ours(IDS), theirs(IDS))
    with pytest.raises(ZeroDivisionError), without_lora(ours):
        raise ZeroDivisionError
    assert_close(ours(IDS), theirs(IDS))


@pytest.mark.parametrize("rank", [None, 1, 2])
def test_weighted_sums(rank, tmp_path):
    ours = two()
    theirs = two_of_peft(ours, tmp_path)
    weights = {"red": 0.7, "blue": -0.4}
    combine_lora(ours, weights, adapter="mixed", r=rank)
    # peft takes no square root of a negative weight under "cat"; it goes to A there.
    kind = {"combination_type": "cat"} if rank is None else {"combination_type": "svd"}
    theirs.add_weighted_adapter(
        ["red", "blue"], [0.7, -0.4], "mixed", **kind, **({"svd_rank": rank} if rank else {})
    )
    theirs.set_adapter("mixed")
    assert_close(ours(IDS), theirs(IDS), scale=10)
    rows = {None: 3}.get(rank, rank)
    assert ours.block[0].lora_A.shape == (rows, 6)
    assert trainable_parameters(ours).counts["block.0.adapters.mixed.lora_A"] == rows * 6
    save_peft(ours, tmp_path / "mixed", adapter="mixed")
    assert_close(load_peft(net(), tmp_path / "mixed").eval()(IDS), ours(IDS))


def test_weighted_sum_of_pissa_and_scalings():
    ours = learn(of_ours({"targets": LINEAR, "init": "pissa", "adapter": "a"}))
    y, plain = ours(IDS), net()(IDS)
    combine_lora(ours, {"a": 1.0}, adapter="b")
    assert_close(ours(IDS), y)
    combine_lora(ours, {"a": 0.0}, adapter="c")
    assert_close(ours(IDS), plain)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: set_adapter(m, "green"), r"'green'; there are \['blue', 'red'\]"),
        (lambda m: combine_lora(m, {"green": 1.0}, adapter="x"), "no adapter is called 'green'"),
        (lambda m: combine_lora(m, {"red": 1.0}, adapter="blue"), "an adapter 'blue' already"),
        (lambda m: combine_lora(m, {"red": 1.0}, adapter="train"), "adapter is 'train'"),
        (lambda m: combine_lora(m, {}, adapter="x"), "weights is empty"),
        (lambda m: lora_state_dict(m), "no adapter is called 'default'"),
        (
            lambda m: set_adapter(
                add_lora(m, ["gpt"], r=1, alpha=1, adapter="red", modules_to_save=["norm"])
                and add_lora(m, ["mix"], r=1, alpha=1, adapter="blue", modules_to_save=["norm"]),
                ["red", "blue"],
            ),
            "norm has DoRA or a copy",
        ),
        (
            lambda m: combine_lora(
                add_lora(m, ["mix"], r=1, alpha=1, adapter="red", dora=True),
                {"red": 1.0},
                adapter="x",
            ),
            "mix: adapters with DoRA",
        ),
    ],
)
def test_errors_of_several(call, message):
    model = two()
    with pytest.raises(ValueError, match=message):
        call(model)


def test_copies_of_modules_belong_to_their_adapter():
    ours = of_ours({"targets": LINEAR, "modules_to_save": ["head"], "adapter": "a"})
    add_lora(ours, LINEAR, r=1, alpha=1, modules_to_save=["head"], adapter="b")
    learn(ours)
    y = ours(IDS)
    set_adapter(ours, "a")
    assert torch.equal(ours.head.weight, net().head.weight)
    assert (ours(IDS) - y).abs().max() > 0.01
    set_adapter(ours, "b")
    assert torch.equal(ours(IDS), y)
    with without_lora(ours):
        assert torch.equal(ours(IDS), net()(IDS))
        assert torch.equal(ours.head.weight, net().head.weight)
    assert ours.head.out_features == 3


def test_merging_while_adapters_are_off():
    ours = learn(of_ours({"targets": LINEAR, "adapter": "a"}))
    expected = ours(IDS)
    with without_lora(ours):
        merge_lora(ours)
        assert torch.equal(ours(IDS), net()(IDS))
    assert_close(ours(IDS), expected)
    with without_lora(ours):
        set_adapter(ours, "a")
    assert_close(ours(IDS), expected)


@pytest.mark.parametrize("merged", [False, True])
def test_taking_out_adapters_while_they_are_off(merged):
    case = {"targets": [*LINEAR, "mix"], "modules_to_save": ["head"], "bias": "lora_only"}
    ours = learn(of_ours(case))
    expected = ours(IDS)
    if merged:
        merge_lora(ours)
    with without_lora(ours):
        detach_lora(ours)
    assert_close(ours(IDS), expected)
    assert type(ours.head) is type(ours.block[0]) is nn.Linear
    ours = learn(of_ours(case))
    with without_lora(ours):
        detach_lora(ours, merge=False)
    assert torch.equal(ours(IDS), net()(IDS))
    layer = learn(LoRALinear(nn.Linear(3, 2), r=1, alpha=1))
    x = torch.ones(1, 3)
    expected = layer(x)
    with without_lora(layer):
        plain = detach_lora(layer)
    assert_close(plain(x), expected)


def test_what_cannot_be_taken_out_stays_off():
    class Own(nn.Linear):
        def forward(self, x):
            return super().forward(x).tanh()

    ours = add_lora(nn.Sequential(Own(3, 2)), ["0"], r=1, alpha=1)
    with without_lora(ours):
        with pytest.raises(TypeError, match="forward of its own"):
            detach_lora(ours)
        assert not ours[0].enabled


def test_lora_plus_groups_like_peft():
    from peft.optimizers import create_loraplus_optimizer

    targets = ["block.0", "head"]  # the factors of the head differ in size
    ours, theirs = of_ours({"targets": targets}), of_peft({"target_modules": targets})
    groups = lora_plus_groups(ours, lr=1e-3, ratio=8)
    optimizer = create_loraplus_optimizer(theirs, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=8)

    def rates(groups):
        return sorted((g["lr"], p.numel()) for g in groups for p in g["params"])

    assert rates(groups) == rates(optimizer.param_groups)
    assert len(rates(groups)) == 4
    with pytest.raises(ValueError, match=r"ratio is 0.5"):
        lora_plus_groups(ours, lr=1e-3, ratio=0.5)


def test_all_linear_takes_a_classifiers_head_unless_it_is_saved():
    import transformers

    sizes = {"hidden_size": 8, "intermediate_size": 8, "vocab_size": 9}
    config = transformers.BertConfig(num_hidden_layers=1, num_attention_heads=1, **sizes)
    for saved in ([], ["classifier"]):
        model = transformers.BertForSequenceClassification(config)
        add_lora(model, "all-linear", r=1, alpha=1, modules_to_save=saved)
        assert isinstance(model.classifier, LoRALinear) is not bool(saved)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_all_linear_and_exclude_like_peft():
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=20,
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    for exclude in ((), ["o_proj"], r".*\.0\..*"):
        ours = add_lora(
            transformers.LlamaForCausalLM(config), "all-linear", r=1, alpha=1, exclude=exclude
        )
        theirs = peft.get_peft_model(
            transformers.LlamaForCausalLM(config),
            peft.LoraConfig(target_modules="all-linear", r=1, exclude_modules=exclude or None),
        )
        found = {n for n, m in ours.named_modules() if isinstance(m, LoRALinear)}
        expected = {n.removeprefix("base_model.model.") for n in theirs.targeted_module_names}
        assert found == expected
        assert not any("lm_head" in n for n in found)
    with pytest.raises(ValueError, match="holds no linear layer"):
        add_lora(nn.Sequential(nn.Conv2d(1, 1, 1)), "all-linear", r=1, alpha=1)
