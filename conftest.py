import jax
import pytest
import torch

jax.config.update("jax_enable_x64", True)
torch.set_num_threads(1)  # xdist runs one process a core


def pytest_addoption(parser):
    parser.addoption(
        "--device", choices=["cpu", "cuda"], default="cpu", help="where torch tests run"
    )


@pytest.fixture(scope="session")
def device(request) -> str:
    chosen = request.config.getoption("--device")
    if chosen == "cuda" and not torch.cuda.is_available():
        pytest.fail("--device cuda: torch sees no CUDA device", pytrace=False)
    return chosen
