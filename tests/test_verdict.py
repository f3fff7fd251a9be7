import itertools

import numpy as np
import pytest

from dlkb.verdict import code_verdict, verdict


@pytest.mark.parametrize(
    ("as_stated", "under_condition", "mended", "expected"),
    [
        (*given, "holds" if given[0] else "conditional" if given[1] else "imprecise" if given[2]
         else "refuted")
        for given in itertools.product((False, True), repeat=3)
    ],
)  # fmt: skip
def test_the_mildest_that_fits(as_stated, under_condition, mended, expected):
    given = {"as_stated": as_stated, "under_condition": under_condition, "mended": mended}
    assert verdict(**given) == expected


def test_what_is_not_said_is_false():
    assert verdict(as_stated=False) == "refuted"
    assert verdict(as_stated=False, mended=True) == "imprecise"
    assert verdict(as_stated=False, under_condition=True) == "conditional"


def test_booleans_of_arrays_will_do_and_arrays_will_not():
    assert verdict(as_stated=np.float64(1) < 2) == "holds"
    assert verdict(as_stated=np.float64(3) < 2) == "refuted"
    with pytest.raises(ValueError, match="ambiguous"):
        verdict(as_stated=np.arange(3) < 2)
    assert verdict(as_stated=False, under_condition=np.float64(3) < 2) == "refuted"


@pytest.mark.parametrize(
    ("runs", "agrees", "expected"),
    [
        (True, True, "holds"),
        (True, False, "buggy"),
        (False, True, "buggy"),
        (False, False, "buggy"),
    ],
)
def test_code(runs, agrees, expected):
    assert code_verdict(runs=runs, agrees=agrees, repaired_agrees=True) == expected


def test_code_that_runs_and_agrees_needs_no_repair():
    assert code_verdict(runs=True, agrees=True) == "holds"


def test_a_repair_must_agree():
    with pytest.raises(ValueError, match="repaired_agrees is False: show a repair"):
        code_verdict(runs=True, agrees=False)


def test_arguments_are_named():
    with pytest.raises(TypeError):
        verdict(True)
    with pytest.raises(TypeError):
        code_verdict(True, True)
