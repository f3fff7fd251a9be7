"""What is installed: the book in the wheel, the addresses, advice where PyTorch is absent."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from dlkb.book.read.addresses import addresses
from dlkb.book.read.book import read_book

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel and unpack it, as an installation would."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    ran = subprocess.run(
        [*command, "--directory", folder], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    (built,) = folder.glob("*.whl")
    zipfile.ZipFile(built).extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_the_book_and_nothing_that_is_generated(wheel):
    book = wheel / "dlkb" / "_book"
    packed = {path.relative_to(book).as_posix() for path in book.rglob("*") if path.is_file()}
    pages = {page.path.relative_to(ROOT).as_posix() for page in read_book(ROOT)}
    assert {path for path in packed if path.endswith(".md")} == pages
    assert {"mkdocs.yml", "docs/claims.toml", "docs/references.bib", "constraints.txt"} <= packed
    for folder in ("scripts/figures", "scripts/peers"):
        scripts = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.py")}
        assert scripts <= packed
    assert not [path for path in packed if "assets" in path or "downloads" in path]


COMMANDS = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
for command in sys.argv[2:]:
    sys.argv[1:] = command.split()
    try:
        runpy.run_module("dlkb", run_name="__main__", alter_sys=False)
    except SystemExit as end:
        print("status", end.code or 0, flush=True)
"""


def test_the_command_line_reads_the_wheel_s_book_in_an_empty_folder(wheel, tmp_path):
    # In one process, which imports the libraries of pages once.
    ran = subprocess.run(
        [
            *(sys.executable, "-c", COMMANDS, wheel),
            *("list", "verify notation", "export notation", "build"),
        ],
        cwd=tmp_path,
        env={"XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.stdout.count("status 0\n") == 3, ran.stdout
    listed, verified, _, built = ran.stdout.split("status 0\n")
    assert "optimizers/adam" in listed
    assert ["notation", "4", "of", "4"] in [row.split() for row in verified.split("\n")]
    assert (tmp_path / "notation.ipynb").is_file()
    assert "clone the repository" in built
    assert built.endswith("status 2\n")
    assert not [
        path for path in (wheel / "dlkb" / "_book").rglob("*.json") if ".cache" in path.parts
    ]


def test_addresses_are_those_of_the_site():
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    found = addresses(ROOT)
    assert urls["Homepage"] == urls["Documentation"] == f"{found.site}/"
    assert urls["Source"] == found.repository
    assert urls["Issues"] == f"{found.repository}/issues"
    assert urls["Changelog"] == f"{found.repository}/blob/main/CHANGELOG.md"


@pytest.mark.parametrize("package", ["nn", "optim"])
def test_shells_without_torch_say_what_to_install(package):
    program = f"import sys; sys.modules['torch'] = None; import dlkb.{package}"
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    advice = f"ModuleNotFoundError: dlkb.{package} needs PyTorch: pip install 'dlkb[torch]'"
    assert ran.stderr.strip().endswith(advice)
