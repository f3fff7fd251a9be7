"""Where the library `adapters` puts its bottlenecks, and how they start, found by running it.

It needs a Transformers of its own: `in_library` and `reference` run in another process.
"""

from typing import Any

import numpy as np
import torch
from torch import nn

from dlkb.finetuning.adapters import branch, fusion
from scripts.peers.apart import with_adapters

LIBRARIES = ("adapters",)

WIDTH = 32
CONFIGS = {
    "double_seq_bn": "`double_seq_bn` (Houlsby)",
    "seq_bn": "`seq_bn` (Pfeiffer)",
    "par_bn": "`par_bn` (parallel)",
}
GRID = [-2.0, -0.5, 0.3, 1.5]


def _bert() -> nn.Module:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(**sizes, intermediate_size=48, vocab_size=20, max_position_embeddings=8)
    return BertModel(config).eval()


def _measure(name: str) -> dict[str, Any]:
    """Return what one configuration does to the first layer of BERT."""
    import adapters
    from adapters.methods.modeling import Adapter

    model = _bert()
    adapters.init(model)
    model.add_adapter("a", config=name)
    model.set_active_adapters("a")
    layer = model.encoder.layer[0]
    modules = [m for m in layer.modules() if isinstance(m, Adapter)]
    last, dense, norm = modules[-1], layer.output.dense, layer.output.LayerNorm
    seen: dict[str, Any] = {}
    last.register_forward_hook(lambda _, args, out: seen.update(reads=args[0].clone()))
    dense.register_forward_hook(lambda _, args, out: seen.update(h=out.clone()))
    layer.intermediate.register_forward_hook(lambda _, args, out: seen.update(x=args[0].clone()))
    norm.register_forward_hook(lambda _, args, out: seen.update(layer=out.clone()))
    with torch.no_grad():
        model(torch.arange(5)[None])
        returned = seen["layer"]
        places = {
            "h": seen["h"],
            "x": seen["x"],
            "LN(x + h)": norm(seen["x"] + seen["h"]),
        }
        grid = last.non_linearity(torch.tensor(GRID)).tolist()
        added = last.scaling * last.adapter_up(last.adapter_down(seen["reads"]))
        if not torch.allclose(returned, norm(seen["x"] + seen["h"] + added), atol=1e-5):
            raise LookupError(f"{name}: the layer returns something else than LN(x + h + branch)")
    [reads] = [k for k, v in places.items() if torch.allclose(v, seen["reads"], atol=1e-6)]
    return {
        "count": len(modules),
        "reads": reads,
        "grid": grid,
        "scaling": float(last.scaling),
        "bottleneck": last.down_sample,
        "up": float(last.adapter_up.weight.std()),
    }


def _check_head() -> None:
    """Raise an error if the library freezes the head in the first stage."""
    import adapters

    model = adapters.BertAdapterModel(_bert().config)
    model.add_adapter("a", config="seq_bn")
    model.add_classification_head("task", num_labels=3)
    model.train_adapter("a")
    if not all(p.requires_grad for p in model.heads.parameters()):
        raise LookupError("train_adapter freezes the head: the page says that it trains it")


def _check_fused() -> None:
    """Raise an error unless fusion stands in the place of a branch, and `par_bn` adds x twice."""
    import adapters
    from adapters.methods.modeling import Adapter, BertFusion

    for name in CONFIGS:
        model = _bert()
        adapters.init(model)
        for one in ("a", "b"):
            model.add_adapter(one, config=name)
        model.add_adapter_fusion(["a", "b"])
        model.set_active_adapters(adapters.Fuse("a", "b"))
        modules = [m for m in model.eval().modules() if isinstance(m, Adapter | BertFusion)]
        for parameter in (p for m in modules for p in m.parameters()):
            nn.init.normal_(parameter, std=0.3)
        part = model.encoder.layer[0].output
        seen: dict[str, torch.Tensor] = {}
        part.register_forward_hook(lambda _, args, out, s=seen: s.update(x=args[1], y=out))
        part.dense.register_forward_hook(lambda _, args, out, s=seen: s.update(h=out.clone()))
        with torch.no_grad():
            model(torch.arange(5)[None])
            x, h, norm = seen["x"], seen["h"], part.LayerNorm
            u = {"double_seq_bn": h, "seq_bn": norm(x + h), "par_bn": x}[name]
            bottlenecks = [part.adapters[one] for one in ("a", "b")]
            z = torch.stack([b.scaling * b.adapter_up(b.adapter_down(u)) for b in bottlenecks], -2)
            [mix] = part.adapter_fusion_layer.values()
            o = fusion(u, z, mix.query.weight, mix.key.weight, mix.value.weight, mix.query.bias)
            again = x if name == "par_bn" else 0 * x
            if not torch.allclose(seen["y"], norm(x + h + o + again), atol=1e-5):
                raise LookupError(f"{name}: fused adapters enter the layer in another way")


def in_library() -> dict[str, dict[str, Any]]:
    """Measure each configuration, in the process that sees the library."""
    _check_head()
    _check_fused()
    return {name: _measure(name) for name in CONFIGS}


def reference() -> dict[str, Any]:
    """Return modules of the library, inputs, outputs and gradients, for tests of ours."""
    import adapters
    from adapters import AdapterConfig, AdapterFusionConfig, Fuse
    from adapters.methods.modeling import Adapter, BertFusion, ParallelAdapter

    torch.manual_seed(0)
    h, residual = torch.randn(2, 3, 8), torch.randn(2, 3, 8)
    found: dict[str, Any] = {"h": h.tolist(), "residual": residual.tolist()}

    def saved(module: nn.Module) -> dict[str, Any]:
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.normal_(std=0.5)
        return {k: v.tolist() for k, v in module.state_dict().items()}

    for name, kind in (("seq_bn", Adapter), ("par_bn", ParallelAdapter)):
        module = kind("a", 8, 3, AdapterConfig.load(name))
        state = saved(module)
        output, *_ = module(h, residual)
        output.square().sum().backward()
        gradients = {k: p.grad.tolist() for k, p in module.named_parameters()}
        found[name] = {"state": state, "output": output.tolist(), "gradients": gradients}
    fused = BertFusion(AdapterFusionConfig.load("dynamic"), 8, 0.0)
    start = {k: v.tolist() for k, v in fused.state_dict().items() if k == "value.weight"}
    state, z = saved(fused), torch.randn(2, 3, 4, 8)
    output = fused(h, z, z, torch.zeros_like(h))
    found["fusion"] = {"state": state, "z": z.tolist(), "output": output.tolist(), "start": start}

    model = _bert()
    base = {k: v.tolist() for k, v in model.state_dict().items()}
    adapters.init(model)
    for name in ("a", "b"):
        model.add_adapter(name, config="double_seq_bn")
    model.add_adapter_fusion(["a", "b"])
    trained: dict[str, list[str]] = {}
    for stage, change in (
        ("first", lambda: model.train_adapter("a")),
        ("second", lambda: model.train_adapter_fusion(Fuse("a", "b"))),
    ):
        change()
        trained[stage] = [n for n, p in model.named_parameters() if p.requires_grad]
    model.set_active_adapters("a")
    blocks = [saved(m) for m in model.modules() if isinstance(m, Adapter) and m.name == "a"]
    with torch.no_grad():
        output = model.eval()(torch.arange(5)[None]).last_hidden_state
    found["bert"] = {"base": base, "adapters": blocks, "output": output.tolist()}
    return found | {"trained": trained}


def _activation_words(grid: list[float]) -> str:
    names = {"relu": "ReLU", "swish": "Swish", "gelu": "GELU"}
    x, one, zero = np.asarray(GRID)[:, None], np.ones((1, 1)), np.zeros(1)
    [words] = [
        words
        for key, words in names.items()
        if np.allclose(branch(x, one, one, zero, zero, activation=key)[:, 0], grid, atol=1e-5)
    ]
    return words


def _start_words(up: float) -> str:
    if up == 0:
        return "U = 0"
    if not 0.015 < up < 0.025:
        raise LookupError(f"U starts with the deviation {up}")
    return "U of deviation 0.02"


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return how many bottlenecks a layer gets, what they read, and how they start."""
    measured = with_adapters(__name__, "in_library")
    return {
        CONFIGS[name]: (
            str(row["count"]),
            row["reads"],
            f"d/{WIDTH // row['bottleneck']}",
            _activation_words(row["grid"]),
            f"{row['scaling']:g}",
            _start_words(row["up"]),
        )
        for name, row in measured.items()
    }
