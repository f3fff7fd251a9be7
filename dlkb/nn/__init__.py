"""Modules and functions that take the place of those of `torch.nn` and peft."""

from importlib.util import find_spec

if find_spec("torch") is None:
    raise ModuleNotFoundError("dlkb.nn needs PyTorch: pip install 'dlkb[torch]'", name="torch")

from dlkb.nn import init
from dlkb.nn.checkup import check_model
from dlkb.nn.clipping import clip_grad_norm_, clip_grad_value_
from dlkb.nn.dropout import Dropout, mc_dropout
from dlkb.nn.early_stopping import EarlyStopping
from dlkb.nn.gradient_probe import gradient_norms, jacobian_singular_values, signal_norms
from dlkb.nn.l1_l2 import penalized_parameters, penalty, prox_
from dlkb.nn.lora import (
    LoRAConv,
    LoRAConv1D,
    LoRAEmbedding,
    LoRALinear,
    LoRAMultiheadAttention,
    TrainableParameters,
    add_lora,
    combine_lora,
    detach_lora,
    load_lora_state_dict,
    load_peft,
    lora_plus_groups,
    lora_state_dict,
    merge_lora,
    save_peft,
    set_adapter,
    trainable_parameters,
    unmerge_lora,
    without_lora,
)

__all__ = [
    "Dropout",
    "EarlyStopping",
    "LoRAConv",
    "LoRAConv1D",
    "LoRAEmbedding",
    "LoRALinear",
    "LoRAMultiheadAttention",
    "TrainableParameters",
    "add_lora",
    "check_model",
    "clip_grad_norm_",
    "clip_grad_value_",
    "combine_lora",
    "detach_lora",
    "gradient_norms",
    "init",
    "jacobian_singular_values",
    "load_lora_state_dict",
    "load_peft",
    "lora_plus_groups",
    "lora_state_dict",
    "mc_dropout",
    "merge_lora",
    "penalized_parameters",
    "penalty",
    "prox_",
    "save_peft",
    "set_adapter",
    "signal_norms",
    "trainable_parameters",
    "unmerge_lora",
    "without_lora",
]
