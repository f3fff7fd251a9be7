import pytest

from dlkb.book.run.compare import number_pairs, on_boundary, same_output
from dlkb.book.run.rounding import watcher


@pytest.mark.parametrize(
    ("shown", "printed", "asks", "same"),
    [
        ("a b\n", "a b\n", (), True),
        ("a b\n", "a b  \n\n", (), True),  # blanks at the end
        ("a b\n", "a  b\n", (), False),
        ("a b\n", "a\nb\n", (), False),
        (" a\n", "a\n", (), False),
        ("1\n", "True\n", (), False),
        ("a...\n", "abc\n", (), False),
        ("a...\n", "abc\n", ("ellipsis",), True),
        ("a...\n", "bbc\n", ("ellipsis",), False),
        ("a\n<BLANKLINE>\nb\n", "a\n\nb\n", (), True),
        ("0.33\n", "0.3333\n", (), False),
        ("0.33\n", "0.3333\n", ("digits",), True),
        ("0.33\n", "0.3350\n", ("digits",), True),  # just inside
        ("0.33\n", "0.3351\n", ("digits",), False),  # just outside
        ("0.33\n", "0.3249\n", ("digits",), False),
        ("33\n", "33.2\n", ("digits",), False),  # an integer is itself
        ("0.33 x\n", "0.3333 y\n", ("digits",), False),
        ("0.3 0.3\n", "0.3\n", ("digits",), False),
        ("0.3\n", "0.31 0.32\n", ("digits",), False),
    ],
)
def test_same_output(shown, printed, asks, same):
    assert same_output(shown, printed, asks) == same


def test_numbers_are_paired_only_if_their_counts_agree():
    assert number_pairs("a 0.3 b 2", "a 0.33 b 2") == [("0.3", "0.33"), ("2", "2")]
    assert number_pairs("0.3", "0.33 0.4") == []
    assert number_pairs("0.3 0.4", "0.33") == []


def test_boundary_just_inside_and_outside():
    assert on_boundary("0.12", "0.12504")
    assert not on_boundary("0.12", "0.12506")


@pytest.mark.parametrize("shape", [(2,), (1, 2), (1, 1, 2), (1, 2, 1, 1)])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_arrays_of_any_number_of_axes_are_looked_at(shape, library):
    values = pytest.importorskip(library).asarray([0.5, 0.1250001]).reshape(shape)
    found = []
    watcher(lambda line, value, digits: found.append(line))(values, 2, "f", 7)
    assert found == [7]
