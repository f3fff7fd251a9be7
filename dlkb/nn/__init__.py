"""Modules that take the place of those of `torch.nn`, torchvision and peft, and instruments."""

from importlib.util import find_spec

if find_spec("torch") is None:
    raise ModuleNotFoundError("dlkb.nn needs PyTorch: pip install 'dlkb[torch]'", name="torch")

from dlkb.nn import init
from dlkb.nn.adapters import (
    AdaptedLayer,
    Adapter,
    AdapterFusion,
    add_adapter,
    fuse_adapters,
    use_adapter,
)
from dlkb.nn.attention import scaled_dot_product_attention
from dlkb.nn.augmentation import CutMix, MixUp
from dlkb.nn.batch_norm import BatchNorm1d, BatchNorm2d, BatchNorm3d, fold_batch_norm
from dlkb.nn.blocks import TransformerDecoderLayer, TransformerEncoderLayer
from dlkb.nn.checkup import check_model
from dlkb.nn.clipping import (
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from dlkb.nn.cross_entropy import BCEWithLogitsLoss, CrossEntropyLoss
from dlkb.nn.dropout import Dropout, mc_dropout
from dlkb.nn.early_stopping import EarlyStopping
from dlkb.nn.gelu import GELU, Mish, QuickGELU, SiLU
from dlkb.nn.glu import GLU, GatedMLP
from dlkb.nn.grad_scaler import GradScaler
from dlkb.nn.gradient_probe import gradient_norms, signal_norms
from dlkb.nn.jacobian_probe import jacobian_singular_values
from dlkb.nn.l1_l2 import penalized_parameters, penalty, prox_
from dlkb.nn.layer_norm import LayerNorm
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
from dlkb.nn.multihead_attention import MultiheadAttention
from dlkb.nn.norm_axes import GroupNorm
from dlkb.nn.pix2pix import PatchDiscriminator, UNetGenerator
from dlkb.nn.regression import HuberLoss, L1Loss, MSELoss, SmoothL1Loss
from dlkb.nn.relu import ELU, LeakyReLU, PReLU, ReLU, unit_activity
from dlkb.nn.resnet import BasicBlock, Bottleneck, ResNet
from dlkb.nn.rms_norm import RMSNorm
from dlkb.nn.sigmoid import LogSigmoid, Sigmoid, Softplus, Tanh
from dlkb.nn.stochastic_depth import StochasticDepth
from dlkb.nn.swin import ShiftedWindowAttention
from dlkb.nn.training_memory import SavedMemory, peak_memory, saved_memory
from dlkb.nn.two_graphs import compiled

__all__ = [
    "ELU",
    "GELU",
    "GLU",
    "AdaptedLayer",
    "Adapter",
    "AdapterFusion",
    "BCEWithLogitsLoss",
    "BasicBlock",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Bottleneck",
    "CrossEntropyLoss",
    "CutMix",
    "Dropout",
    "EarlyStopping",
    "GatedMLP",
    "GradScaler",
    "GroupNorm",
    "HuberLoss",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "LoRAConv",
    "LoRAConv1D",
    "LoRAEmbedding",
    "LoRALinear",
    "LoRAMultiheadAttention",
    "LogSigmoid",
    "MSELoss",
    "Mish",
    "MixUp",
    "MultiheadAttention",
    "PReLU",
    "PatchDiscriminator",
    "QuickGELU",
    "RMSNorm",
    "ReLU",
    "ResNet",
    "SavedMemory",
    "ShiftedWindowAttention",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softplus",
    "StochasticDepth",
    "Tanh",
    "TrainableParameters",
    "TransformerDecoderLayer",
    "TransformerEncoderLayer",
    "UNetGenerator",
    "add_adapter",
    "add_lora",
    "check_model",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "combine_lora",
    "compiled",
    "detach_lora",
    "fold_batch_norm",
    "fuse_adapters",
    "get_total_norm",
    "gradient_norms",
    "init",
    "jacobian_singular_values",
    "load_lora_state_dict",
    "load_peft",
    "lora_plus_groups",
    "lora_state_dict",
    "mc_dropout",
    "merge_lora",
    "peak_memory",
    "penalized_parameters",
    "penalty",
    "prox_",
    "save_peft",
    "saved_memory",
    "scaled_dot_product_attention",
    "set_adapter",
    "signal_norms",
    "trainable_parameters",
    "unit_activity",
    "unmerge_lora",
    "use_adapter",
    "without_lora",
]
