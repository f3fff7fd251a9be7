"""What pretrained models read, predict and count, found by running tiny ones of Transformers."""

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertForPreTraining,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

from dlkb.losses.cross_entropy import cross_entropy
from dlkb.transformers.pretrained_models import IGNORED

LIBRARIES = ("transformers",)

VOCABULARY, LENGTH = 50, 8
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


def tokens(seed: int) -> Tensor:
    """Draw one text without special tokens."""
    return torch.randint(5, VOCABULARY, (1, LENGTH), generator=torch.Generator().manual_seed(seed))


def reads(logits: Callable[[Tensor], Tensor]) -> str:
    """Say on which side a position sees a change of another token."""
    text = tokens(1)
    changed = text.clone()
    changed[0, 4] = (text[0, 4] - 5 + 1) % (VOCABULARY - 5) + 5
    with torch.no_grad():
        moved = (logits(text) - logits(changed)).abs().amax(-1)[0] > 1e-6
    sides = bool(moved[:4].any()), bool(moved[5:].any())
    return {(True, True): "both sides", (False, True): "the left side"}[sides]


def counts(loss: Callable[[Tensor], Tensor], logits: Tensor) -> tuple[str, str]:
    """Say with which label a position is compared, and which label does not count."""
    labels = tokens(2)
    labels[0, 3] = IGNORED
    candidates = {
        "the same place": cross_entropy(logits, labels, ignore_index=IGNORED),
        "the next place: it shifts": cross_entropy(
            logits[:, :-1], labels[:, 1:], ignore_index=IGNORED
        ),
    }
    with torch.no_grad():
        found = loss(labels)
    fitting = [words for words, value in candidates.items() if torch.isclose(found, value)]
    if len(fitting) != 1:
        raise LookupError(f"loss {found}: {candidates}")
    return fitting[0], "−100"


def bert() -> tuple[str, ...]:
    """Run BERT with both of its losses."""
    torch.manual_seed(0)
    model = BertForPreTraining(BertConfig(**SMALL)).eval()
    text = tokens(0)
    with torch.no_grad():
        out = model(text)

    def masked(labels: Tensor) -> Tensor:
        follows = torch.tensor([0])
        both = model(text, labels=labels, next_sentence_label=follows).loss
        return both - cross_entropy(out.seq_relationship_logits, follows)

    return (
        reads(lambda x: model(x).prediction_logits),
        *counts(masked, out.prediction_logits),
        "next sentence, added",
    )


def roberta() -> tuple[str, ...]:
    """Run RoBERTa; it has no head for a second loss."""
    torch.manual_seed(0)
    model = RobertaForMaskedLM(RobertaConfig(**SMALL)).eval()
    text = tokens(0)
    with torch.no_grad():
        out = model(text)
    return (
        reads(lambda x: model(x).logits),
        *counts(lambda y: model(text, labels=y).loss, out.logits),
        "none" if set(out) == {"logits"} else "",
    )


def gpt2() -> tuple[str, ...]:
    """Run GPT-2."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=50, n_embd=16, n_layer=2, n_head=2, bos_token_id=None, eos_token_id=None
        )
    ).eval()
    text = tokens(0)
    with torch.no_grad():
        logits = model(text, use_cache=False).logits
    return (
        reads(lambda x: model(x).logits),
        *counts(lambda y: model(text, labels=y).loss, logits),
        "none",
    )


def t5() -> tuple[str, ...]:
    """Run T5: what its encoder and its decoder read, and how labels become inputs."""
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=VOCABULARY,
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        decoder_start_token_id=0,
    )
    model = T5ForConditionalGeneration(config).eval()
    source = tokens(0)
    encoder = reads(lambda x: model.encoder(x).last_hidden_state)
    decoder = reads(lambda y: model(source, decoder_input_ids=y).logits)
    labels = tokens(2)
    labels[0, 3] = IGNORED
    shifted = torch.cat([torch.zeros(1, 1, dtype=torch.int64), labels[:, :-1]], dim=1)
    shifted[shifted == IGNORED] = 0
    with torch.no_grad():
        logits = model(source, decoder_input_ids=shifted).logits
    place, ignored = counts(lambda y: model(source, labels=y).loss, logits)
    return f"encoder {encoder}, decoder {decoder}", place, ignored, "none"


def objectives() -> dict[str, tuple[str, ...]]:
    """Return what each model reads, which label it is compared with, and what counts."""
    return {
        "BERT, `BertForPreTraining`": bert(),
        "RoBERTa, `RobertaForMaskedLM`": roberta(),
        "GPT-2, `GPT2LMHeadModel`": gpt2(),
        "T5, `T5ForConditionalGeneration`": t5(),
    }


def taught(hand: Callable[[Tensor], Tensor]) -> tuple[str]:
    """Train a tiny GPT-2 by its own loss on labels made of the inputs; say what it says then.

    In these texts each token has one successor, and one after that. The labels' last place is
    none of the text's.
    """
    torch.manual_seed(0)
    size = {"vocab_size": 12, "n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": LENGTH}
    quiet = dict.fromkeys(("embd_pdrop", "resid_pdrop", "attn_pdrop"), 0.0)
    model = GPT2LMHeadModel(GPT2Config(**size, **quiet, bos_token_id=None, eos_token_id=None))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    successor = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    rows = [torch.arange(12)]
    for _ in range(LENGTH - 1):
        rows.append(successor[rows[-1]])
    texts = torch.stack(rows, dim=1)
    for _ in range(60):
        optimizer.zero_grad()
        model(texts, labels=hand(texts)).loss.backward()
        optimizer.step()
    with torch.no_grad():
        said = model.eval()(texts).logits.argmax(-1)[:, :-2]
    candidates = {"the next token": texts[:, 1:-1], "the token after the next": texts[:, 2:]}
    fitting = [words for words, right in candidates.items() if (said == right).all()]
    if len(fitting) != 1:
        raise LookupError(f"{fitting} of {tuple(candidates)} fit")
    return (fitting[0],)


def by_one(text: Tensor) -> Tensor:
    """Return the token that comes next at each place; none counts at the last."""
    return torch.cat([text[:, 1:], torch.full_like(text[:, :1], IGNORED)], dim=1)


def shifted_twice() -> dict[str, tuple[str, ...]]:
    """Return what GPT-2 has learnt to say, by the labels that it was handed."""
    return {"the inputs": taught(lambda text: text), "shifted inputs": taught(by_one)}


def sizes() -> dict[str, tuple[str, ...]]:
    """Return entries of the default configurations: vocabulary, positions, segments."""
    if longest_of_roberta() != RobertaConfig().max_position_embeddings - 2:
        raise LookupError("a text of RoBERTa may not have two tokens fewer: the page says so")
    return {
        "BERT": sizes_of(BertConfig()),
        "RoBERTa": sizes_of(RobertaConfig()),
        "GPT-2": sizes_of(GPT2Config()),
        "T5": sizes_of(T5Config()),
    }


def longest_of_roberta() -> int:
    """Return how many tokens a text may have, tried on a tiny model with all positions."""
    model = RobertaForMaskedLM(RobertaConfig(**SMALL)).eval()
    for length in range(model.config.max_position_embeddings, 0, -1):
        try:
            model(torch.full((1, length), 5))
        except (IndexError, RuntimeError):
            continue
        return length
    raise LookupError("no text is short enough")


def sizes_of(config: BertConfig | RobertaConfig | GPT2Config | T5Config) -> tuple[str, ...]:
    """Return the words for one configuration."""
    positions = getattr(config, "max_position_embeddings", None)
    segments = getattr(config, "type_vocab_size", None)
    return (
        str(config.vocab_size),
        "relative" if positions is None else str(positions),
        "none" if segments is None else str(segments),
    )
