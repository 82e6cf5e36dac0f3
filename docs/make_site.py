"""site/, the documentation as pages for a browser, with a reference made from docstrings.

python docs/make_site.py [FOLDER]

A warning stops it: a broken link, a page without a place in the navigation, a docstring that cannot be read.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "src"))

from sidelight.core.optional import require  # noqa: E402

#: packages that the site is built with
PACKAGES = ("sphinx", "myst_parser", "furo", "sphinx_copybutton")
#: what Sphinx writes for itself, and no reader needs
LEFT_OVER = (".buildinfo",)


def build(folder: Path) -> None:
    """Write the site to ``folder``. It replaces what is there.

    Raises:
        MissingPackageError: a package of the extra ``docs`` is missing.
        subprocess.CalledProcessError: Sphinx refused. It has said why.
    """
    require(PACKAGES, "the documentation's site", "docs")
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as trees:  # a page that was read before would keep its old side bar
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", trees]
        subprocess.run([*command, str(DOCS), str(folder)], check=True)
    for name in LEFT_OVER:
        (folder / name).unlink(missing_ok=True)


def main() -> int:
    """Build the site where the command line says."""
    from sidelight.errors import MissingPackageError

    folder = Path(sys.argv[1] if len(sys.argv) > 1 else DOCS.parent / "site")
    try:
        build(folder)
    except MissingPackageError as error:
        print(error, file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        return error.returncode
    print(f"open {folder / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
