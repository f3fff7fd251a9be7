"""Which entries of a vector turn together in a library, found by turning one entry.

A vector that is 1 at entry 0 and 0 elsewhere becomes, at position 1, cos 1 there and sin 1 at its
partner.
"""

from collections.abc import Callable

import numpy as np
import torch
import transformers
from diffusers.models.embeddings import apply_rotary_emb, get_1d_rotary_pos_embed
from transformers.models.cohere import modeling_cohere
from transformers.models.distilbert.modeling_distilbert import create_sinusoidal_embeddings
from transformers.models.gpt_neox import modeling_gpt_neox
from transformers.models.gptj import modeling_gptj
from transformers.models.llama import modeling_llama
from transformers.models.m2m_100.modeling_m2m_100 import M2M100SinusoidalPositionalEmbedding
from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding

from dlkb.transformers.positional_encoding import rotary, sinusoidal

LIBRARIES = ("transformers", "diffusers")

WIDTH = 8
Turn = Callable[[torch.Tensor], torch.Tensor]


def partner(turn: Turn) -> str:
    """Say which entry turns with entry 0 at position 1."""
    first = torch.eye(WIDTH)[0]
    turned = turn(first)
    if not torch.allclose(turned[0], torch.tensor(1.0).cos()):
        raise LookupError(f"entry 0 does not turn by 1: {turned}")
    others = turned[1:].abs()
    at = int(others.argmax()) + 1
    if others.sum() - others.max() > 1e-6:
        raise LookupError(f"more than two entries turn together: {turned}")
    direction = "" if turned[at] > 0 else ", the other way"
    return {WIDTH // 2: "halves: 0 and d/2", 1: "pairs: 0 and 1"}[at] + direction


def of_module(kind: type, config: object, apply: Callable[..., tuple[torch.Tensor, ...]]) -> Turn:
    """Turn by a model of Transformers that has a module for cosines and sines."""

    def turn(x: torch.Tensor) -> torch.Tensor:
        cos, sin = kind(config)(x, torch.tensor([[1]]))
        return apply(x[None, None, None], x[None, None, None], cos, sin)[0][0, 0, 0]

    return turn


def of_gptj(x: torch.Tensor) -> torch.Tensor:
    """Turn as GPT-J does."""
    table = modeling_gptj.create_sinusoidal_positions(2, WIDTH)
    sin, cos = table[1:].chunk(2, dim=-1)
    return modeling_gptj.apply_rotary_pos_emb(x[None, None, None], sin[None], cos[None])[0, 0, 0]


def of_diffusers(x: torch.Tensor, *, halves: bool = False) -> torch.Tensor:
    """Turn as diffusers' Flux does, or in halves."""
    cos, sin = get_1d_rotary_pos_embed(
        WIDTH, np.asarray([1]), use_real=True, repeat_interleave_real=not halves
    )
    given = x[None, None, None], (cos, sin)
    if halves:
        turned = apply_rotary_emb(*given, use_real_unbind_dim=-2)
    else:
        turned = apply_rotary_emb(*given)
    return torch.as_tensor(turned)[0, 0, 0]


def of_this(x: torch.Tensor, **options: str) -> torch.Tensor:
    """Turn by our formula."""
    return rotary(x[None], torch.ones(1), **options)[0]  # type: ignore[arg-type]


def which_layout() -> dict[str, tuple[str, ...]]:
    """Return the rows of the table on rotary layouts."""
    sizes = {"hidden_size": WIDTH, "num_attention_heads": 1}
    llama, cohere = transformers.LlamaConfig(**sizes), transformers.CohereConfig(**sizes)
    neox = transformers.GPTNeoXConfig(
        **sizes,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 1e4,
            "partial_rotary_factor": 1.0,
        },
    )
    rows: dict[str, Turn] = {
        "this package": of_this,
        'this package, `layout="pairs"`': lambda x: of_this(x, layout="pairs"),
        "Transformers' Llama": of_module(
            modeling_llama.LlamaRotaryEmbedding, llama, modeling_llama.apply_rotary_pos_emb
        ),
        "Transformers' GPT-NeoX": of_module(
            modeling_gpt_neox.GPTNeoXRotaryEmbedding, neox, modeling_gpt_neox.apply_rotary_pos_emb
        ),
        "Transformers' Cohere": of_module(
            modeling_cohere.CohereRotaryEmbedding, cohere, modeling_cohere.apply_rotary_pos_emb
        ),
        "Transformers' GPT-J": of_gptj,
        "diffusers' `apply_rotary_emb`": of_diffusers,
        "diffusers' `apply_rotary_emb`, `use_real_unbind_dim=-2`": lambda x: of_diffusers(
            x, halves=True
        ),
    }
    return {name: (partner(turn),) for name, turn in rows.items()}


def split_at(steps: int) -> torch.Tensor:
    """Return all sines, then all cosines, 1/10000 reached after so many frequencies."""
    pace = 10_000.0 ** (-torch.arange(WIDTH // 2) / steps)
    turned = torch.arange(5.0)[:, None] * pace
    return torch.cat([turned.sin(), turned.cos()], dim=-1)


def which_order() -> dict[str, tuple[str, ...]]:
    """Return the rows of the table on sinusoids."""
    rows: dict[str, tuple[str, ...]] = {}
    ours = sinusoidal(torch.arange(5.0), width=WIDTH)
    bert = torch.empty(5, WIDTH)
    create_sinusoidal_embeddings(5, WIDTH, bert)
    marian = MarianSinusoidalPositionalEmbedding(5, WIDTH)
    marian.weight.data = marian.create_weight()
    for name, table in {
        "this package": ours,
        "Transformers' DistilBERT": bert,
        "Transformers' Marian": marian.weight.detach(),
        "Transformers' M2M100": M2M100SinusoidalPositionalEmbedding.get_embedding(5, WIDTH),
    }.items():
        orders = {
            "sine and cosine alternate": ours,
            "all sines, then all cosines": split_at(WIDTH // 2),
            "all sines, then all cosines, at other frequencies": split_at(WIDTH // 2 - 1),
        }
        found = [order for order, wanted in orders.items() if torch.allclose(table, wanted)]
        rows[name] = (found[0],)
    return rows
