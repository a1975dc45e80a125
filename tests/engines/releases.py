"""Releases of Ollama for the tests, as they are published: `python -m tests.engines.releases VERSION...`.

A release is a folder with an archive, named as the project names it, and sha256sum.txt. It is packed from the engine that
tests.engines.build has made. Where HOMELAB_LLM_TEST_OLLAMA_RELEASES names an address that has real ones in v<version>/
(https://github.com/ollama/ollama/releases/download), those are fetched instead and nothing is built. Either is kept in the cache.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from tests import container
from tests.engines.build import UNAVAILABLE, cache_folder, engine, key_of, one_at_a_time
from tests.engines.commands import BuildFailed, Unavailable, say
from tests.engines.recipes import RECIPES

VERSIONS = ("0.24.0", "0.33.0")
SUMS = "sha256sum.txt"
# Raised with every change of how an archive is packed.
PACKING = "1"
ADDRESS = "HOMELAB_LLM_TEST_OLLAMA_RELEASES"
FETCH_TIMEOUT_S = 600.0
# What a plain Debian has; all else that a program asks for goes into the archive, as in the project's own.
PLAIN = re.compile(r"(ld-linux[\w-]*|libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s)\.so[.\d]*")
LIBRARY = re.compile(r"^\s*(\S+) => (/\S+)", re.MULTILINE)
ELF = b"\x7fELF"


def archive_name() -> str:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"ollama-linux-{machine}.tar.zst"


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sums_line(path: Path) -> str:
    """A line of sha256sum.txt as the project writes it."""
    return f"{sha256_of(path)}  ./{path.name}\n"


def release(version: str) -> Path:
    """The folder of a release, packed or fetched where it is not in the cache. Raises Unavailable or BuildFailed."""
    address = os.environ.get(ADDRESS, "").rstrip("/")
    if address:
        source = f"{address}/v{version}"
        key = hashlib.sha256(source.encode()).hexdigest()[:16]
        return kept(f"ollama-{version}", key, lambda folder: fetch(source, folder))
    built = engine(f"ollama-{version}")
    key = hashlib.sha256(f"{PACKING} {key_of(RECIPES[f'ollama-{version}'])}".encode()).hexdigest()[:16]
    return kept(f"ollama-{version}", key, lambda folder: pack(built, folder))


def kept(name: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder of that key, made beside and moved to its place when it is whole."""
    target = cache_folder().parent / "releases" / f"{name}-{key}"
    with one_at_a_time():
        if not target.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=target.parent) as folder:
                made = Path(folder, "made")
                made.mkdir()
                make(made)
                made.rename(target)
    return target


def fetch(source: str, folder: Path) -> None:
    """Fetch a release's sums and archive, and compare them."""
    say(f"fetching {source}/{archive_name()}")
    for name in (SUMS, archive_name()):
        try:
            with (
                urllib.request.urlopen(f"{source}/{name}", timeout=FETCH_TIMEOUT_S) as reply,
                (folder / name).open("wb") as stream,
            ):
                shutil.copyfileobj(reply, stream)
        except OSError as error:
            raise Unavailable(f"{source}/{name}: {error}") from error
    line = sums_line(folder / archive_name())
    if line not in (folder / SUMS).read_text(encoding="ascii"):
        raise BuildFailed(f"{source}/{archive_name()}: {line.split()[0]} is not in its {SUMS}")


def pack(built: Path, folder: Path) -> None:
    """Pack a built engine as bin/ollama and lib/ollama/…, with the libraries that a plain host lacks."""
    have_zstd()
    say(f"packing {built.name}")
    with TemporaryDirectory(dir=folder.parent) as scratch:
        tree = Path(scratch, "tree")
        shutil.copytree(built, tree, symlinks=True, ignore=shutil.ignore_patterns("about.json"))
        (tree / "lib" / "ollama").mkdir(parents=True, exist_ok=True)
        for path in missing_libraries(tree):
            shutil.copy2(path, tree / "lib" / "ollama" / path.name)
        plain = Path(scratch, "ollama.tar")
        with tarfile.open(plain, "w") as archive:
            for part in ("bin", "lib"):
                archive.add(tree / part, part, filter=anonymous)
        compress = ["zstd", "-q", "-3", "-T0", str(plain), "-o", str(folder / archive_name())]
        subprocess.run(compress, check=True, timeout=FETCH_TIMEOUT_S)
    (folder / SUMS).write_text(sums_line(folder / archive_name()), encoding="ascii")


def have_zstd() -> None:
    if not shutil.which("zstd"):
        try:
            container.install("zstd")
        except container.Unavailable as error:
            raise Unavailable(str(error)) from error


def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """The same archive, whoever packs it and when."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


def missing_libraries(tree: Path) -> list[Path]:
    """Libraries of this machine that the tree's programs load and a plain host does not have."""
    found: dict[str, Path] = {}
    for path in tree.rglob("*"):
        if path.is_file() and not path.is_symlink() and is_elf(path):
            said = subprocess.run(["ldd", str(path)], capture_output=True, text=True, timeout=60, check=False).stdout
            found |= {name: Path(library) for name, library in LIBRARY.findall(said) if not PLAIN.fullmatch(name)}
    return [path for _name, path in sorted(found.items()) if tree not in path.parents]


def is_elf(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(ELF)) == ELF


def main(versions: list[str]) -> int:
    try:
        for version in versions or VERSIONS:
            print(f"ollama-{version}: {release(version)}", flush=True)
    except Unavailable as error:
        print(error, flush=True)
        return UNAVAILABLE
    except BuildFailed as error:
        print(error, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
