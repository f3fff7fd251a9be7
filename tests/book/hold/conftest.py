"""The small book with pages that break no rule."""

import pytest

from tests.book.conftest import hold

MOVED = """\
---
title: Toy
description: The square of 1.5 is 2.25.
level: basic
requires: []
size: S
---

# Toy

Square it.

![A wave that rises and falls.](../assets/figures/optimizers/toy/wave.svg)
/// figure-caption
Up to 77.
///

## The idea

The square of 1.5 is 2.25<!--= x; square(x) -->, and a third is 0.33.

```python
def square(x):
    return x * x


x = 1.5
```

```pycon
>>> 1 / 3
0.3333
```

## In practice

The mean is 7.267 or 7.27, printed below.

## In code

```python
print(square(2), "mean", 7.2673)
```

```output
4 mean 7.2673
```

## Statements, tested

/// refuted | The square of two is five, not 16.
    attrs: {id: c-001, data-source: "001:16-18", data-evidence: checked}

No.

```pycon
>>> from dlkb.verdict import verdict
>>> square(4)
16
>>> verdict(as_stated=square(2) == 5)
'refuted'
```
///

## Derivation

### By hand

Two steps.

## Exercises

**1.** Is it 36?

/// details | Solution
It is 36.

```pycon
>>> square(6)
36
```
///

**2.** Go on.

## References
"""


@pytest.fixture
def book(book):
    """The small book; its page keeps the contract."""
    return hold(book)


@pytest.fixture
def moved(book):
    """The small book; its page has numbers, a figure of its own, a solution."""
    script = book.root / "scripts" / "figures" / "optimizers" / "toy.py"
    script.parent.mkdir(parents=True)
    script.write_text("def wave() -> Figure: ...\ndef wave_says() -> dict[str, bool]: ...\n")
    book.page.write_text(MOVED)
    return book
