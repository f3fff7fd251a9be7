"""The engine of the book; for derivations, `equation` reads an equation from a page."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlkb.book.read.symbolic import equation

__all__ = ["equation"]


def __getattr__(name: str) -> Any:
    """Import `equation` when it is asked for: SymPy takes half a second."""
    if name == "equation":
        from dlkb.book.read.symbolic import equation

        return equation
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
