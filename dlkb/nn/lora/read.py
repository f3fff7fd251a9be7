"""Reading adapters that peft wrote."""

import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlkb.finetuning.lora import Rule, lora_scaling
from dlkb.nn.lora._find import adapted_modules, by_pattern, is_called, visible_modules, within
from dlkb.nn.lora._plain import gathered, unwrapped
from dlkb.nn.lora._safetensors import read_safetensors
from dlkb.nn.lora._saved import is_bias
from dlkb.nn.lora.insert import add_lora, biased
from dlkb.nn.lora.kinds import kind_of
from dlkb.nn.lora.layers import LoRALayer
from dlkb.nn.lora.state import clean, load_lora_state_dict, lora_state_dict
from dlkb.nn.lora.write import CONFIG, PREFIX, WEIGHTS


def load_peft(
    model: nn.Module,
    folder: str | Path,
    *,
    adapter: str = "default",
    dtype: torch.dtype | None = None,
) -> nn.Module:
    """Read an adapter that peft or `save_peft` wrote, and use it.

    Args:
        model: The pretrained model, which gets the adapter; or one that has it by the same call
            of `add_lora`, perhaps sharded since then, whose parameters are set.
        folder: Where the two files lie.
        adapter: What the adapter is called here.
        dtype: Of the factors; None for that of each base weight.

    Returns:
        The same model.

    Note:
        Differs from peft up to 0.21, which adds the update of the `out_proj` of
        `nn.MultiheadAttention` twice; here it is added once, and a warning says so.

    Raises:
        ValueError: If the configuration asks for what this package does not do (its name is
            given), or tensors do not fit the model. Nothing has been changed then.
        TypeError: If LoRA does not go on a module here.

    Example:
        >>> import tempfile
        >>> from torch import nn
        >>> from dlkb.nn import save_peft
        >>> model = add_lora(nn.Sequential(nn.Linear(4, 3)), ["0"], r=1, alpha=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_peft(model, folder)
        ...     twin = load_peft(nn.Sequential(nn.Linear(4, 3)), folder)
        >>> torch.equal(twin[0].lora_A, model[0].lora_A)
        True
    """
    folder = Path(folder)
    config = json.loads((folder / CONFIG).read_text())
    _check_config(config)
    tensors = {
        key.removeprefix(PREFIX): value for key, value in read_safetensors(folder / WEIGHTS).items()
    }
    inner = unwrapped(model)
    modules = {clean(name): module for name, module in visible_modules(inner).items()}
    state = _own_names(tensors)
    ranks = {k.removesuffix(".lora_A"): len(v) for k, v in state.items() if k.endswith(".lora_A")}
    saved = _saved_names(config, state, modules, ranks)
    if not any(adapter in m.adapters for _, m in adapted_modules(inner)):
        _check_fit(config, state, modules, ranks, saved)
        _insert(inner, config, ranks, saved, adapter, dtype)
    if config.get("peft_version") and any(_outer(name) != name for name in ranks):
        warnings.warn(
            "peft up to 0.21 adds the update of out_proj in nn.MultiheadAttention twice (its pull "
            "request 3774); here it is added once: double lora_B of out_proj for what such a "
            "version computed",
            stacklevel=2,
        )
    for name, r in ranks.items():
        scaling = lora_scaling(_alpha(config, name), r, rule=_rule(config))
        state[f"{name}._extra_state"] = torch.tensor(scaling, dtype=torch.float64, device="cpu")
    held = lora_state_dict(inner, adapter=adapter)
    start = {k: v for k, v in held.items() if k.endswith((".start_A", ".start_B"))}
    load_lora_state_dict(inner, start | state, adapter=adapter)
    return model


# What configurations may say without changing what the tensors mean.
_NEUTRAL = {
    *("auto_mapping", "base_model_name_or_path", "revision", "task_type", "inference_mode"),
    *("peft_version", "peft_type", "r", "lora_alpha", "lora_dropout", "rank_pattern", "bias"),
    *("alpha_pattern", "target_modules", "exclude_modules", "modules_to_save", "use_rslora"),
    *("use_dora", "init_lora_weights", "fan_in_fan_out", "layers_to_transform", "layers_pattern"),
    *("loftq_config", "eva_config", "megatron_core", "qalora_group_size", "runtime_config"),
}
SIMPLE = (nn.Embedding, nn.MultiheadAttention)
_CHANGE_THE_BASE = ("olora", "loftq", "corda", "lora_ga", "pissa_niter")


def _check_config(config: Mapping[str, Any]) -> None:
    """Raise ValueError for what this package does not do."""
    if config.get("peft_type") != "LORA":
        raise ValueError(f"peft_type is {config.get('peft_type')!r}: only LORA can be read")
    unknown = sorted(key for key, value in config.items() if value and key not in _NEUTRAL)
    if unknown:
        raise ValueError(
            f"the adapter uses {unknown}, which this package does not do: merge it with peft "
            "(merge_and_unload)"
        )
    init = str(config.get("init_lora_weights")).lower()
    if init.startswith(_CHANGE_THE_BASE):
        raise ValueError(
            f"init_lora_weights is {init!r}, which changed the weights of the base in a way that "
            "cannot be repeated: merge the adapter with peft, or convert it there "
            "(save_pretrained with path_initial_model_for_weight_conversion)"
        )


def _own_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return peft's tensors under the names and in the shapes of `lora_state_dict`."""
    found: dict[str, Tensor] = {}
    for key, value in tensors.items():
        name, _, last = key.removesuffix(".weight").rpartition(".")
        matrix = value.flatten(1) if value.ndim > 1 else value
        if last in ("lora_A", "lora_B"):
            found[f"{name}.{last}"] = matrix
        elif last in ("lora_embedding_A", "lora_embedding_B"):
            found[f"{name}.{last.replace('_embedding', '')}"] = matrix
        elif last == "lora_magnitude_vector":
            found[f"{name}.magnitude"] = value.flatten()
        elif re.fullmatch(r".*\.base_layer\.(in_proj_)?bias", key):
            found[re.sub(r"base_layer\.(in_proj_)?bias$", "bias", key)] = value
        else:
            found[key] = value
    return found


def _outer(name: str) -> str:
    """Return the attention that an out_proj within it belongs to."""
    return name.removesuffix(".base_layer.out_proj")


def _saved_names(
    config: Mapping[str, Any],
    state: dict[str, Tensor],
    modules: Mapping[str, nn.Module],
    ranks: Mapping[str, int],
) -> list[str]:
    """Return the modules that the file holds in full, and drop copies of base weights."""
    entries = config.get("modules_to_save") or []
    saved: list[str] = []
    for key in list(state):
        name, _, last = key.rpartition(".")
        if name in ranks and last in ("lora_A", "lora_B", "magnitude", "bias"):
            continue
        of = [n for n in modules if within(key, n) and n and any(is_called(n, e) for e in entries)]
        if of:
            saved.append(min(of, key=len))
        elif config.get("bias") == "all" and is_bias(key):
            continue
        elif last == "weight" and _is_base(modules, name, state[key]):
            del state[key]
        else:
            raise ValueError(
                f"the file holds {key} of shape {tuple(state[key].shape)}, which is no part of an "
                "adapter for this model: was its vocabulary resized, or is it another model?"
            )
    return list(dict.fromkeys(saved))


def _is_base(modules: Mapping[str, nn.Module], name: str, value: Tensor) -> bool:
    """Whether a tensor is the weight that the model has anyway (peft adds embeddings)."""
    module = modules.get(name.removesuffix(".base_layer"))
    weight = (
        module.base_weight() if isinstance(module, LoRALayer) else getattr(module, "weight", None)
    )
    if weight is None or weight.shape != value.shape:
        return False
    return torch.equal(gathered(weight).detach().cpu(), value.to(weight.dtype))


def _base(modules: Mapping[str, nn.Module], name: str) -> nn.Module:
    """Return the module that a name of the file means."""
    if name in modules:
        return modules[name]
    inner: nn.Module = modules[_outer(name)].out_proj
    return inner


def _check_fit(
    config: Mapping[str, Any],
    state: Mapping[str, Tensor],
    modules: Mapping[str, nn.Module],
    ranks: Mapping[str, int],
    saved: list[str],
) -> None:
    """Raise if the tensors of a file do not fit a model that has no adapter yet."""
    lacking = sorted(n for n in ranks if n not in modules and _outer(n) not in modules)
    if lacking or not ranks:
        raise ValueError(f"the adapter is for {lacking or 'no layer'}, which the model lacks")
    expected: dict[str, tuple[int, ...]] = {}
    for name, r in ranks.items():
        base = _base(modules, name)
        out, width = kind_of(name, base).shape(base)
        groups: int = getattr(base, "groups", 1)
        expected |= {f"{name}.lora_A": (r, width), f"{name}.lora_B": (out, r // groups)}
        if config.get("use_dora") and not isinstance(base, SIMPLE):
            expected[f"{name}.magnitude"] = (out,)
        own = getattr(base, kind_of(name, base).names[1], None)
        if own is not None and config.get("bias", "none") != "none":
            expected[f"{name}.bias"] = tuple(own.shape)
    if config.get("bias") == "all":
        for name in biased(modules, [n for n in ranks if n in modules], saved):
            own = modules[name].state_dict()
            expected |= {f"{name}.{k}": tuple(v.shape) for k, v in own.items() if is_bias(k)}
    for name in saved:
        own = modules[name].state_dict()
        expected |= {f"{name}.{k}": tuple(v.shape) for k, v in own.items() if isinstance(v, Tensor)}
    for key, shape in expected.items():
        if key not in state:
            raise ValueError(f"the file lacks {key}")
        if tuple(state[key].shape) != shape:
            raise ValueError(
                f"size mismatch: {key} was saved with shape {tuple(state[key].shape)}, this model "
                f"needs {shape}"
            )
    left_over = sorted(state.keys() - expected.keys())
    if left_over:
        raise ValueError(
            f"the file holds {left_over[0]}, which this package does not read with its "
            "configuration (DoRA of an embedding, or a bias that it does not name)"
        )


def _alpha(config: Mapping[str, Any], name: str) -> float:
    """Return α of a layer; an out_proj within an attention has the attention's."""
    return by_pattern(_outer(name), config.get("alpha_pattern"), config["lora_alpha"])


def _rule(config: Mapping[str, Any]) -> Rule:
    return "rslora" if config.get("use_rslora") else "lora"


def _insert(
    model: nn.Module,
    config: Mapping[str, Any],
    ranks: Mapping[str, int],
    saved: list[str],
    adapter: str,
    dtype: torch.dtype | None,
) -> None:
    """Put in the adapter that a configuration describes, on the layers that the file names."""
    modules = {clean(name): module for name, module in visible_modules(model).items()}
    names = [n for n in ranks if n in modules]
    plain = [n for n in names if isinstance(modules[n], SIMPLE)]
    full = [n for n in names if n not in plain]
    bias = config.get("bias", "none")
    early = "lora_only" if bias == "all" and full else bias
    # peft passes over dropout and PiSSA on embeddings and attentions; DoRA was refused.
    for group, simple in ((plain, True), (full, False)):
        if group:
            pissa = config.get("init_lora_weights") == "pissa" and not simple
            add_lora(
                model,
                "|".join(map(re.escape, group)),
                r=config["r"],
                alpha=config["lora_alpha"],
                rule=_rule(config),
                lora_dropout=0.0 if simple else config.get("lora_dropout", 0.0),
                init="pissa" if pissa else "uniform",
                dora=bool(config.get("use_dora")) and not simple,
                bias=early if simple else bias,
                rank_pattern={f"^{re.escape(n)}": ranks[n] for n in group},
                alpha_pattern={f"^{re.escape(n)}": _alpha(config, n) for n in group},
                modules_to_save="|".join(map(re.escape, saved)) if saved else (),
                adapter=adapter,
                dtype=dtype,
            )
