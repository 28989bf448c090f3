#!/usr/bin/env python3
"""Installs the servers of others that the sync is tested against: moto (S3) and Azurite (Azure Blob), pinned.

Run by ./test. Does nothing where they are installed. A tool that is missing is named on standard error and the status is 1;
the tests of that server are then skipped, or fail if CI=true.
"""

import os
import pathlib
import shutil
import subprocess
import sys

MOTO = "moto[server]==5.2.5"
AZURITE = "azurite@3.37.0"

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
FOLDER = CACHE / "multicloud" / "emulators"


def moto(folder):
    try:
        run([sys.executable, "-m", "venv", "--clear", str(folder)])
    except subprocess.CalledProcessError as error:
        raise RuntimeError("Python's venv module is missing or broken (Debian: apt install python3-venv)") from error
    run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", MOTO])


def azurite(folder):
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise RuntimeError(f"'{tool}' is missing: install Node.js 20 or newer")
    folder.mkdir()
    run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), AZURITE])


def run(command):
    # What is printed belongs to the log, not to whoever reads standard output.
    subprocess.run(command, check=True, stdout=sys.stderr)


def installed(name, version, install):
    """Installs once. What was broken off before its mark was written is done again."""
    folder, mark = FOLDER / name, FOLDER / f"{name}.installed"
    if mark.is_file() and mark.read_text() == version and folder.is_dir():
        return True
    mark.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        install(folder)
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        print(f"emulators: {name} was not installed: {error}", file=sys.stderr)
        return False
    mark.write_text(version)
    return True


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    all_there = [installed("moto", MOTO, moto), installed("azurite", AZURITE, azurite)]
    return 0 if all(all_there) else 1


if __name__ == "__main__":
    sys.exit(main())
