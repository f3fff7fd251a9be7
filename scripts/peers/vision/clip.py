"""Which contrastive loss a model of Transformers computes, found by running tiny ones."""

import math

import torch
from torch import Tensor, nn
from transformers import (
    AltCLIPConfig,
    AltCLIPModel,
    CLIPConfig,
    CLIPModel,
    SiglipConfig,
    SiglipModel,
)

from dlkb.vision.clip import clip_loss, siglip_loss

LIBRARIES = ("torch", "transformers")

SIZES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
TEXT = {**SIZES, "num_attention_heads": 2, "vocab_size": 50, "bos_token_id": 0, "eos_token_id": 1}
VISION = {**SIZES, "num_attention_heads": 2, "image_size": 8, "patch_size": 4}
OURS = {
    "softmax, the mean of both directions": clip_loss,
    "sigmoid, summed over texts, mean over images": siglip_loss,
}


def make(model: type[nn.Module], config: type) -> nn.Module:
    """Make a tiny model."""
    torch.manual_seed(0)
    text = {**TEXT, "pad_token_id": 1, "max_position_embeddings": 12, "project_dim": 16}
    return model(config(text_config=text, vision_config=VISION, projection_dim=16)).eval()


def run(model: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the loss and the logits of four images and texts."""
    torch.manual_seed(1)
    ids = torch.randint(2, 50, (4, 6))
    ids[:, -1] = 1
    with torch.no_grad():
        output = model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=torch.randn(4, 3, 8, 8),
            return_loss=True,
        )
    return output.loss, output.logits_per_image


def row(model: nn.Module) -> tuple[str, ...]:
    """Return loss, scale and bias at the start, and whether a large scale is cut."""
    loss, logits = run(model)
    [name] = [n for n, ours in OURS.items() if torch.allclose(ours(logits), loss, atol=1e-5)]
    scale = model.logit_scale.exp().item()
    bias = f"{model.logit_bias.item():g}" if hasattr(model, "logit_bias") else "none"
    with torch.no_grad():
        before = run(model)[1] - (getattr(model, "logit_bias", 0.0))
        model.logit_scale.fill_(math.log(1000))
        after = run(model)[1] - (getattr(model, "logit_bias", 0.0))
    grown = (after / before).median().item() * scale
    return name, f"{scale:.1f}", bias, "no" if abs(grown - 1000) < 1 else f"at {grown:.0f}"


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return loss, 1/τ and bias at the start, and whether the model limits 1/τ."""
    return {
        "Transformers `CLIPModel`": row(make(CLIPModel, CLIPConfig)),
        "Transformers `AltCLIPModel`": row(make(AltCLIPModel, AltCLIPConfig)),
        "Transformers `SiglipModel`": row(make(SiglipModel, SiglipConfig)),
    }
