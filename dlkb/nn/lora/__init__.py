"""LoRA for any model: put in, switch, mix, merge, save, take out."""

from dlkb.nn.lora.attention import LoRAMultiheadAttention
from dlkb.nn.lora.insert import add_lora
from dlkb.nn.lora.kinds import LoRAConv, LoRAConv1D, LoRAEmbedding, LoRALinear
from dlkb.nn.lora.read import load_peft
from dlkb.nn.lora.state import (
    TrainableParameters,
    load_lora_state_dict,
    lora_plus_groups,
    lora_state_dict,
    trainable_parameters,
)
from dlkb.nn.lora.switch import (
    combine_lora,
    detach_lora,
    merge_lora,
    set_adapter,
    unmerge_lora,
    without_lora,
)
from dlkb.nn.lora.write import save_peft

__all__ = [
    "LoRAConv",
    "LoRAConv1D",
    "LoRAEmbedding",
    "LoRALinear",
    "LoRAMultiheadAttention",
    "TrainableParameters",
    "add_lora",
    "combine_lora",
    "detach_lora",
    "load_lora_state_dict",
    "load_peft",
    "lora_plus_groups",
    "lora_state_dict",
    "merge_lora",
    "save_peft",
    "set_adapter",
    "trainable_parameters",
    "unmerge_lora",
    "without_lora",
]
