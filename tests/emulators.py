#!/usr/bin/env python3
"""Installs the servers of others that tests talk to, pinned: emulators.py [NAME ...], all without a name.

    moto       most AWS services, with signatures and permissions checked; its venv has boto3 and botocore's models too
    ministack  AWS, a second opinion
    s3s-fs     S3, strict about signatures and digests
    azurite    Azure Blob

Run by ./test. Does nothing where they are installed. A tool that is missing is named on standard error and the status is 1;
the tests of that server are then skipped, or fail if CI=true.
"""

import os
import pathlib
import shutil
import subprocess
import sys

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
FOLDER = CACHE / "multicloud" / "emulators"


def python(folder, *packages):
    try:
        run([sys.executable, "-m", "venv", "--clear", str(folder)])
    except subprocess.CalledProcessError as error:
        raise RuntimeError("Python's venv module is missing or broken (Debian: apt install python3-venv)") from error
    run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])


def node(folder, package):
    for tool in ("node", "npm"):
        need(tool, "install Node.js 20 or newer")
    folder.mkdir()
    run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), package])


def rust(folder, package):
    """From its source, without optimisation: minutes the first time. What the compiler leaves is removed."""
    need("cargo", "install Rust (rustup.rs)")
    target = folder.with_suffix(".target")
    build = ["cargo", "install", "--quiet", "--locked", "--debug", "--features", "binary", "--root", str(folder), package]
    # Debug information would be most of the time and of the space.
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target), "CARGO_PROFILE_DEV_DEBUG": "0"}
    try:
        run(build, env=environment)
    finally:
        shutil.rmtree(target, ignore_errors=True)


# The order is that of what most tests need.
SERVERS = {
    "moto": (python, "moto[server]==5.2.5"),
    "azurite": (node, "azurite@3.37.0"),
    # With cbor2, which it needs for CloudWatch and does not ask for.
    "ministack": (python, "ministack==1.5.33", "cbor2==6.2.1"),
    "s3s-fs": (rust, "s3s-fs@0.14.1"),
}


def need(tool, remedy):
    if shutil.which(tool) is None:
        raise RuntimeError(f"'{tool}' is missing: {remedy}")


def run(command, **options):
    # What is printed belongs to the log, not to whoever reads standard output.
    subprocess.run(command, check=True, stdout=sys.stderr, **options)


def installed(name):
    """Installs once. What was broken off before its mark was written is done again."""
    install, *packages = SERVERS[name]
    version = " ".join(packages)
    folder, mark = FOLDER / name, FOLDER / f"{name}.installed"
    if mark.is_file() and mark.read_text() == version and folder.is_dir():
        return True
    mark.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        install(folder, *packages)
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        print(f"emulators: {name} was not installed: {error}", file=sys.stderr)
        return False
    mark.write_text(version)
    return True


def main(names):
    unknown = [name for name in names if name not in SERVERS]
    if unknown:
        print(f"emulators: no server is called {', '.join(unknown)}; known: {', '.join(SERVERS)}", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    all_there = [installed(name) for name in names or SERVERS]
    return 0 if all(all_there) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
