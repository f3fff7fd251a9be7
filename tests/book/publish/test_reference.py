from pathlib import Path

import pytest

from dlkb.book.publish.reference import reference

ROOT = Path(__file__).parents[3]

MODULE = '''\
"""Squares.

More.
"""

from typing import NamedTuple


class State(NamedTuple):
    """What is kept."""

    x: float
    y: int = 0


class Layer:
    """A layer."""

    def __init__(self, p: float = 0.5, *, inplace: bool = False) -> None:
        self.p = p


def square(x: float, /, *more: int, power=2) -> float:
    """Return the square.

    Args:
        x: A number.
    """
    return x**power


def _hidden() -> None:
    """Not shown."""


CONSTANT = 3
'''


@pytest.fixture
def root(tmp_path):
    package = tmp_path / "dlkb" / "toy"
    package.mkdir(parents=True)
    (package / "one.py").write_text(MODULE)
    (package / "__init__.py").write_text("def empty(): ...\n")
    return tmp_path


def test_signatures_and_docstrings_are_shown(root):
    assert (
        "\n".join(reference(root, "dlkb.toy.one"))
        == """\
**`dlkb.toy.one`** Squares.

More.

````text
class State(x: float, y: int = 0)

What is kept.
````

````text
class Layer(p: float=0.5, *, inplace: bool=False)

A layer.
````

````text
square(x: float, /, *more: int, power=2) -> float

Return the square.

Args:
    x: A number.
````"""
    )


def test_a_package_is_its_init(root):
    assert reference(root, "dlkb.toy") == [
        "**`dlkb.toy`**",
        "",
        "````text",
        "empty()",
        "",
        "",
        "````",
    ]


def test_what_has_no_file_is_named(root):
    assert reference(root, "dlkb.none") == ["`dlkb.none`"]


def test_a_real_module_shows_each_public_name():
    text = "\n".join(reference(ROOT, "dlkb.nn.dropout"))
    assert "class Dropout(p: float=0.5, inplace: bool=False)" in text
    assert "mc_dropout(" in text
    assert "Differs from `torch.nn.Dropout`" in text
