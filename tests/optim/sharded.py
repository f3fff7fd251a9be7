"""Models of PyTorch's own tests, taken apart over several processes, and how they are trained."""

import warnings

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from tests.close import assert_close

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_fsdp import MLPStack as MLPStack
    from torch.testing._internal.distributed._tensor.common_dtensor import ModelArgs
    from torch.testing._internal.distributed._tensor.common_dtensor import (
        Transformer as Transformer,
    )
# They forbid flags of torch.backends to be set outside of torch's own tests.
setattr(torch.backends, "__allow_nonbracketed_mutation_flag", True)

# Half of what is trained, before a checkpoint and after it.
STEPS = 10
EVEN, UNEVEN = {}, {"dim": 12, "vocab_size": 7, "max_seq_len": 9}


def transformer(device, **sizes):
    torch.manual_seed(0)
    return Transformer(ModelArgs(dropout_p=0.0, **sizes)).to(device)


def loss_of(model, t, *, rank=0, vocabulary=7):
    """Return a loss on a batch of its own for each step and rank."""
    generator = torch.Generator().manual_seed(1000 * rank + t)
    tokens = torch.randint(vocabulary, (4, 8), generator=generator)
    tokens = tokens.to(next(model.parameters()).device)
    return torch.nn.functional.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())


def shard(model, mesh):
    for layer in model.layers:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def whole(t):
    return t.full_tensor() if isinstance(t, DTensor) else t


def assert_same(mine, theirs, a, b):
    """Parameters and state, gathered."""
    for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert_close(whole(p), whole(q))
        assert list(a.state[p]) == list(b.state[q])
        for name, value in b.state[q].items():
            assert type(a.state[p][name]) is type(value)
            assert_close(whole(a.state[p][name]), whole(value))


def go(model, optimizer, steps, *, rank=None):
    """Train; without a rank on the mean of all ranks' batches."""
    for t in steps:
        optimizer.zero_grad()
        if rank is None:
            ranks = range(dist.get_world_size())
            sum(loss_of(model, t, rank=r) for r in ranks).div(len(ranks)).backward()
        else:
            loss_of(model, t, rank=rank).backward()
        optimizer.step()
