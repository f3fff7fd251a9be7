"""What all tests share: JAX in float64, one torch thread a process, the device option."""

import gc
import os
import re

# xdist runs one process a core; BLAS reads this when NumPy is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# ranx has Numba compile hundreds of functions, which are called a few times each.
os.environ.setdefault("NUMBA_OPT", "0")

import jax
import pytest
import torch

pytest_plugins = ["dlkb.book.hold.pytest_plugin"]

# Thousands of tests are collected, and live to the end: the collector need not look at them, which
# took an eighth of all time.
gc.set_threshold(50_000, 20, 100)


def pytest_collection_finish() -> None:
    """Leave out of every later garbage collection what is there now."""
    gc.freeze()


jax.config.update("jax_enable_x64", True)
torch.set_num_threads(1)  # xdist runs one process a core


def pytest_addoption(parser):
    """Add --device."""
    parser.addoption(
        "--device", choices=["cpu", "cuda"], default="cpu", help="where torch tests run"
    )


@pytest.fixture(scope="session")
def device(request) -> str:
    """Return where torch tests run; cuda without a GPU is a failure, not a skip."""
    chosen = request.config.getoption("--device")
    if chosen == "cuda" and not torch.cuda.is_available():
        pytest.fail("--device cuda: torch sees no CUDA device", pytrace=False)
    return chosen


# Of a topic, or with its name in brackets: tests/figures/test_sayings.py::test_…[optimizers/adam]
FIGURES = re.compile(r"tests/figures/(?:test_\w+\.py::\w+\[)?(\w+)/(?:test_)?(\w+)")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keep a file's tests in one process, but deal out the formulas', which are a quarter of all.

    All that looks at a topic's figures stays together, too: their data is computed once.
    `--dist loadgroup` does not group under pytest 9.2: pytest-xdist's issue 1386.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            if found := FIGURES.match(nodeid):
                return f"figures of {found[1]}/{found[2]}"
            file = nodeid.split("::")[0]
            return nodeid if file == "tests/test_formulas.py" else file

    return ByFile(config, log)
