"""What the CUDA kernels compute: in Numba's simulator, or with `--device cuda` on a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent.parent
X = np.arange(100.0)


def run(module: str, *arguments: str, device: str) -> str:
    simulated = {"NUMBA_ENABLE_CUDASIM": "0" if device == "cuda" else "1"}
    command = [sys.executable, "-W", "ignore", "-m", module, *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | simulated | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def found(device):
    printed = json.loads(run("tests.gpu.run_kernels", device=device))
    return {name: np.asarray(values) for name, values in printed.items()}


@pytest.mark.parametrize("name", ["add", "add_by_strides"])
def test_each_entry_is_added_whatever_the_grid(found, name):
    np.testing.assert_array_equal(found[name], 4 * X)
    np.testing.assert_array_equal(found[f"{name}, more threads than entries"], 2 * X[:7])


def test_each_entry_has_one_thread(found):
    assert (found["count_visits"] == 1).all()


def test_transpose_of_a_tile_that_sticks_out(found):
    np.testing.assert_array_equal(found["transpose"], np.arange(600.0).reshape(20, 30).T)


def test_a_word_too_far_is_the_first_of_the_next_array_and_no_error(found):
    assert (found["neighbours 0"] == 2).all()  # the last word of its own array
    for step, hit in ((1, 0), (32, 31)):
        changed = np.flatnonzero(found[f"neighbours {step}"] != 2)
        assert changed.tolist() == [hit]
        assert found[f"neighbours {step}"][hit] == 7


def test_copies_read_where_they_should(found):
    np.testing.assert_array_equal(found["strided_copy"], 3 * np.arange(40))
    np.testing.assert_array_equal(found["shifted_copy"], 5 + np.arange(40))


def test_what_is_timed_computes_what_it_says(found):
    np.testing.assert_array_equal(found["chase"], np.tile(3 * np.arange(32), 2))
    np.testing.assert_allclose(found["spin"], 1, rtol=1e-6)
    lane, way = np.arange(64), np.arange(64) % 4
    np.testing.assert_allclose(found["diverge"], (lane * 0.999 + way) * 0.999 + way, rtol=1e-6)


def test_overflow_says_what_happens(device):
    for how, happens in (
        ("word-0", "no error, changed [] to []"),
        ("word-1", "no error, changed [0] to [7.0]"),
    ):
        said = json.loads(run("scripts.gpu.overflow", how, device=device))
        assert said == {"how": how, "happens": happens}
