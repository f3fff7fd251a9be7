"""Writing adapters as peft does: `adapter_model.safetensors` and `adapter_config.json`."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlkb.nn.lora._adapter import Adapter
from dlkb.nn.lora._find import adapted_modules, check_adapter
from dlkb.nn.lora._plain import gathered, unwrapped
from dlkb.nn.lora._safetensors import write_safetensors
from dlkb.nn.lora._saved import SavedModule
from dlkb.nn.lora.kinds import LoRAConv1D
from dlkb.nn.lora.layers import LoRALayer
from dlkb.nn.lora.state import clean

PREFIX = "base_model.model."
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def save_peft(
    model: nn.Module,
    folder: str | Path,
    *,
    adapter: str = "default",
    base_model: str | None = None,
    task_type: str | None = None,
) -> None:
    """Write an adapter as peft does, so that `PeftModel.from_pretrained` reads it.

    Args:
        model: A module with LoRA in it; it may be sharded, or in DistributedDataParallel. Then
            each process calls this, and the first one writes.
        folder: Where the two files go; it is made.
        adapter: The name of the adapter.
        base_model: The name or path of the pretrained model, for peft's `AutoPeftModel`; None for
            the model's own `name_or_path`, if it has one.
        task_type: peft's, such as "CAUSAL_LM".

    Raises:
        ValueError: If there is no such adapter, or peft's configuration cannot say what it is:
            DoRA, dropout or init that differ between layers, a convolution with groups.
            Nothing has been written then.

    Note:
        peft up to 0.21 passes over the dilation of a convolution, and adds the update of an
        attention's `out_proj` twice. The rule "alpha" becomes `lora_alpha` = α·r. peft makes
        the largest singular vectors of
        PiSSA anew when it loads, from the weight that it has.

    Example:
        >>> import tempfile
        >>> from torch import nn
        >>> from dlkb.nn import add_lora
        >>> model = add_lora(nn.Sequential(nn.Linear(4, 3)), ["0"], r=1, alpha=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_peft(model, folder)
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['adapter_config.json', 'adapter_model.safetensors']
    """
    model = unwrapped(model)
    check_adapter(model, adapter)
    config = _config(model, adapter)
    own = getattr(model, "name_or_path", None) or None
    config |= {"base_model_name_or_path": base_model or own, "task_type": task_type}
    tensors = {PREFIX + key: gathered(t) for key, t in _tensors(model, adapter).items()}
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    if distributed and torch.distributed.get_rank() != 0:
        return
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / WEIGHTS, tensors)
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _tensors(model: nn.Module, adapter: str) -> dict[str, Tensor]:
    """Return the tensors of an adapter under peft's names, in peft's shapes."""
    found: dict[str, Tensor] = {}
    for path, module in adapted_modules(model):
        name = clean(path)
        if adapter not in module.adapters:
            continue
        if isinstance(module, SavedModule):
            found |= {f"{name}.{key}": t.detach() for key, t in module.trained(adapter).items()}
            continue
        one, layer = module.get(adapter), module.base_layer
        if getattr(layer, "groups", 1) > 1:
            raise ValueError(
                f"{name} has groups, whose factors are of another shape in peft and cannot be "
                "merged there: save lora_state_dict(model)"
            )
        for ours, theirs, shape in _names(layer, one):
            value = getattr(one, ours).detach()
            found[f"{name}.{theirs}"] = gathered(value).reshape(shape)
        if one.bias is not None:
            found[f"{name}.base_layer.{module.names[1]}"] = one.bias.detach()
    return found


def _names(layer: nn.Module, adapter: Adapter) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return our name, peft's and peft's shape of each parameter but the bias."""
    A, B = adapter.lora_A.shape, adapter.lora_B.shape
    if isinstance(layer, nn.Embedding):
        return [("lora_A", "lora_embedding_A", A), ("lora_B", "lora_embedding_B", B)]
    kernel = tuple(layer.weight.shape[1:]) if isinstance(layer, CONVOLUTIONS) else A[1:]
    ones = (1,) * (len(kernel) - 1)
    names = [("lora_A", "lora_A.weight", (A[0], *kernel)), ("lora_B", "lora_B.weight", (*B, *ones))]
    if adapter.magnitude is not None:
        shape = (1, B[0], *ones) if ones else (B[0],)
        names.append(("magnitude", "lora_magnitude_vector", shape))
    return names


CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def _config(model: nn.Module, adapter: str) -> dict[str, Any]:
    """Return peft's configuration of an adapter."""
    held = [(clean(n), m) for n, m in adapted_modules(model) if adapter in m.adapters]
    layers = {n: m for n, m in held if isinstance(m, LoRALayer)}
    saved = {n: m for n, m in held if isinstance(m, SavedModule)}
    made = {n: m.get(adapter).options for n, m in layers.items()}
    rslora = all(o.rule == "rslora" for o in made.values())
    # An embedding starts as peft's does, and has neither DoRA nor dropout.
    linear = [o for o in made.values() if o.init != "embedding"] or [*made.values()]
    same = {(o.dora, o.lora_dropout, o.init == "pissa") for o in linear}
    if len(same) > 1:
        raise ValueError(
            f"layers differ in (dora, lora_dropout, pissa): {sorted(same)}. peft's configuration "
            "has one of each: give them adapters of their own"
        )
    [(dora, dropout, pissa)] = same
    ranks = {n: o.r for n, o in made.items()}
    factor = {n: ranks[n] ** (0.5 if rslora else 1) for n in made}
    alphas = {n: m.get(adapter).scaling * factor[n] for n, m in layers.items()}
    if not any(o.rule == "alpha" or (o.rule == "rslora") != rslora for o in made.values()):
        alphas = {n: o.alpha for n, o in made.items()}
    r, alpha = (Counter(v.values()).most_common(1)[0][0] for v in (ranks, alphas))
    biased = any(m.get(adapter).bias is not None for m in layers.values())
    bias = "all" if any(m.only_bias for m in saved.values()) else "lora_only" if biased else "none"
    # An attention takes its out_proj along.
    targets = [n for n in layers if not n.endswith(".base_layer.out_proj")]
    return {
        "peft_type": "LORA",
        "r": r,
        "lora_alpha": alpha,
        "target_modules": targets,
        "rank_pattern": {f"^{re.escape(n)}": v for n, v in ranks.items() if v != r},
        "alpha_pattern": {f"^{re.escape(n)}": v for n, v in alphas.items() if v != alpha},
        "use_rslora": rslora,
        "use_dora": dora,
        "lora_dropout": dropout,
        "init_lora_weights": "pissa" if pissa else True,
        "bias": bias,
        "modules_to_save": [n for n, m in saved.items() if not m.only_bias] or None,
        "fan_in_fan_out": any(isinstance(m, LoRAConv1D) for m in layers.values()),
        "inference_mode": True,
    }
