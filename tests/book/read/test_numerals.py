from decimal import Decimal

import pytest

from dlkb.book.read.numerals import numerals


def values(text):
    return [float(number.value) for number in numerals(text)]


@pytest.mark.parametrize(
    ("text", "value", "place", "digits"),
    [
        ("7.27", "7.27", "0.01", 3),
        ("0.10", "0.10", "0.01", 2),
        ("13 %", "13", "1", 2),
        (r"$99\,\%$", "99", "1", 2),
        ("3,924", "3924", "1", 4),
        ("30 000", "30000", "1", 1),
        ("30\u00a0000", "30000", "1", 1),
        (r"$1{,}000$", "1000", "1", 1),
        (r"$30\,000$", "30000", "1", 1),
        ("1e-8", "1e-8", "1e-8", 1),
        ("2.5e3", "2.5e3", "100", 2),
        ("$10^{-3}$", "0.001", "0.0001", 1),
        (r"$2\cdot10^{5}$", "2e5", "1e5", 1),
        (r"$1.5 \times 10^{-2}$", "0.015", "0.001", 2),
        ("10⁻³", "0.001", "0.0001", 1),
        ("2·10⁵", "2e5", "1e5", 1),
        ("$2^{10}$", "1024", "10.24", 1),
        ("eighteenfold", "18", "1", 2),
        ("twenty-one-fold", "21", "1", 2),
        ("sixteenth", "16", "1", 2),
        ("a thousand steps", "1000", "1", 1),
        ("thirty thousand", "30000", "1", 1),
        ("2 million", "2e6", "1e6", 1),
        ("the 12th step", "12", "1", 2),
        ("20-layer networks", "20", "1", 1),
        ("10x", "10", "1", 1),
        ("−3.5x²", "-3.5", "0.1", 2),
        ("$12n$", "12", "1", 2),
        ("350M", "350", "1", 2),
        ("a change of -1.5", "-1.5", "0.1", 2),
        ("a change of −1.5", "-1.5", "0.1", 2),
        ("$x=-0.5$", "-0.5", "0.1", 1),
        ("$1-0.5$", "0.5", "0.1", 1),
    ],
)
def test_value_precision_and_digits(text, value, place, digits):
    (number,) = numerals(text)
    assert number.value == Decimal(value)
    assert number.place == Decimal(place)
    assert number.digits == digits
    assert text[number.start : number.end] == number.text


@pytest.mark.parametrize(
    "text",
    [
        "16bit, a 5 and seven, twelve of 3",
        "float32, bf16, ResNet-50, c-035, T5, GPT-2",
        "hundreds of steps, thousands of them, a thousandth",
        "torch 2.13.0",
        r"$x_{12}$, $\beta_1$, $\frac12$, $10^k$, $10^{k}$, $3^2$",
        "half a million",
    ],
)
def test_no_number_that_must_be_held(text):
    assert values(text) == []


def test_ranges_and_neighbours_are_numbers_of_their_own():
    assert values("10–20, 30-40, 1280×800, 1/256") == [10, 20, 30, 40, 1280, 800, 256]
    assert values("$0.99^{100} = 0.37$") == [0.99, 100, 0.37]
    assert values("at step 13. Then 14.") == [13, 14]
