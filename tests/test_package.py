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


def test_the_command_line_reads_the_wheel_s_book_in_an_empty_folder(wheel, tmp_path):
    def dlkb(*arguments):
        program = f"import sys; sys.path.insert(0, {str(wheel)!r}); import dlkb.__main__"
        environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "200"}
        ran = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return ran.returncode, ran.stdout + ran.stderr

    status, text = dlkb("list")
    assert status == 0, text
    assert "optimizers/adam" in text
    status, text = dlkb("verify", "notation")
    assert status == 0, text
    assert ["notation", "4", "of", "4"] in [row.split() for row in text.split("\n")]
    status, text = dlkb("export", "notation")
    assert status == 0, text
    assert (tmp_path / "notation.ipynb").is_file()
    status, text = dlkb("build")
    assert status == 2
    assert "clone the repository" in text
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
