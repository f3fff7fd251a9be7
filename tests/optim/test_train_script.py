"""scripts/distributed/train.py, started by torchrun, resumed on another number of processes."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

from scripts.distributed.train import BATCH, train
from tests.distributed import in_processes

ROOT = Path(__file__).parents[2]


def torchrun(size: int, folder: Path, steps: int) -> str:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(size), "scripts/distributed/train.py"]
    command += ["--checkpoint", folder, "--steps", str(steps)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def go_on(folder: Path, device: str, name: str, steps: int) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        train(folder / name, steps, 0.01, device)
    if printed.getvalue():  # by the first process alone
        (folder / "printed").write_text(printed.getvalue())


def losses(text: str) -> dict[int, float]:
    return {int(t): float(x) for t, x in re.findall(r"step (\d+): loss ([\d.]+)", text)}


def accuracy(text: str) -> float:
    return float(text.split()[-1])


def test_it_resumes_on_another_number_of_processes(tmp_path, device):
    def going_on(name: str, steps: int, size: int) -> str:
        in_processes(go_on, tmp_path, name, steps, size=size, device=device)
        return (tmp_path / "printed").read_text()

    first = torchrun(2, tmp_path / "digits", 20)
    assert "2 processes, from step 0" in first
    second = going_on("digits", 40, 3)
    assert "3 processes, from step 20" in second
    assert sorted(path.name for path in (tmp_path / "digits").iterdir()) == ["20", "40"]
    again = going_on("digits", 40, 2)
    assert "2 processes, from step 40" in again  # and nothing is left to do
    assert accuracy(again) == accuracy(second) > accuracy(first) + 0.2

    alone = going_on("alone", 40, 1)
    expected, found = losses(alone), losses(first) | losses(second)
    assert found.keys() == expected.keys() == {10, 20, 30, 40}
    assert all(abs(found[t] - expected[t]) < 2e-3 * expected[t] for t in expected)
    assert expected[40] < 0.4 * expected[10]
    assert abs(accuracy(second) - accuracy(alone)) <= 0.005
    assert BATCH % 6 == 0
