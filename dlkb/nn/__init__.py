from dlkb.nn import init
from dlkb.nn.clipping import clip_grad_norm_, clip_grad_value_
from dlkb.nn.dropout import Dropout, mc_dropout
from dlkb.nn.l1_l2 import penalized_parameters, penalty, prox_
from dlkb.nn.lora import (
    LoRALinear,
    TrainableParameters,
    add_lora,
    detach_lora,
    load_lora_state_dict,
    lora_state_dict,
    merge_lora,
    trainable_parameters,
    unmerge_lora,
)

__all__ = [
    "Dropout",
    "LoRALinear",
    "TrainableParameters",
    "add_lora",
    "clip_grad_norm_",
    "clip_grad_value_",
    "detach_lora",
    "init",
    "load_lora_state_dict",
    "lora_state_dict",
    "mc_dropout",
    "merge_lora",
    "penalized_parameters",
    "penalty",
    "prox_",
    "trainable_parameters",
    "unmerge_lora",
]
