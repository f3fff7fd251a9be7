"""The run of pages with the kernels of other processors."""

import os
import sys

import pytest

from dlkb.book.draw.kept import AFRESH
from scripts import processors
from scripts.processors import KERNELS, caption_problems, failing

SHOWS_KERNELS = """
import torch, numpy
print(torch.backends.cpu.get_cpu_capability())
print(numpy.show_config(mode="dicts")["SIMD Extensions"].get("found", []))
"""


def test_libraries_obey_the_variables(capfd):
    assert failing([sys.executable, "-c", SHOWS_KERNELS]) == []
    plain, wide = capfd.readouterr().out.split("With the kernels for AVX2:")
    assert "DEFAULT" in plain
    assert "X86_V3" not in plain
    assert "AVX512" not in plain
    assert "AVX512" not in wide
    assert "X86_V4" not in wide


@pytest.mark.parametrize("name", KERNELS)
def test_a_set_that_fails_is_named(name):
    value = KERNELS[name]["ATEN_CPU_CAPABILITY"]
    code = f"import os, sys; sys.exit(os.environ['ATEN_CPU_CAPABILITY'] == {value!r})"
    assert failing([sys.executable, "-c", code]) == [name]


def test_captions_are_computed_anew(monkeypatch):
    assert caption_problems(["normalization/norm_axes"]) == []

    def says(module, name):
        assert AFRESH in os.environ
        return {"a pig flies": True}

    monkeypatch.setattr(processors, "says_of", says)
    problems = caption_problems(["normalization/norm_axes"])
    assert "a pig flies" in problems[0]
    assert "normalization/norm_axes.md:" in problems[0]
