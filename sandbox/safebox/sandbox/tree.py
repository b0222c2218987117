"""A root file tree for agents, made from the Python that runs safebox: no registry, no download.

The tree holds the interpreter, its standard library, the packages agents use, `safebox.agents`, a shell with the usual
small programs, and the shared libraries all of these need. It serves both engines: Docker gets it as an image of one
layer, bubblewrap as the read-only root. Nothing else of the host is in it: no /etc, no keys, no home.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from safebox.sandbox.errors import SandboxError

if TYPE_CHECKING:
    from importlib.metadata import Distribution

Progress = Callable[[str], None]

BUILDER = "4"
"""Counts up whenever this module makes another tree from the same machine, so that old trees are not reused."""

PACKAGES = ("eth-account", "httpx", "langchain", "langchain-openai", "mcp", "openai", "requests", "web3")
"""What agents are written with, as far as it is installed here; each comes with what it requires."""

TOOLS = """
    basename bash cat chmod cp cut date dirname dd df echo env expr false find grep gzip head hostname id ln ls mkdir
    mkfifo mktemp mv nproc od printf pwd readlink realpath rm rmdir sed seq sh sha256sum sleep sort stat tail tar tee
    test timeout touch tr true uname uniq wc xargs yes
    """.split()  # noqa: SIM905 - one string reads better
"""Small programs that shell commands expect, as far as the host has them. None is setuid, none talks to a network."""

_LEFT_OUT_OF_LIBRARY = {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages"}
_LEFT_OUT_OF_PACKAGES = {"tests"}
_FOLDERS = (
    "agent",
    "dev",
    "etc",
    "job",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "usr/bin",
    "usr/lib",
    "usr/lib64",
    "work",
)
_LINKS = {"bin": "usr/bin", "sbin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "var": "tmp"}
_ETC = {
    "passwd": "root:x:0:0:root:/work:/bin/sh\nnobody:x:65534:65534:nobody:/work:/bin/sh\n",
    "group": "root:x:0:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost sandbox\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "resolv.conf": "",
    "hostname": "sandbox\n",
}
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_LDD_LINE = re.compile(r"\s*(?:(?P<name>\S+) => )?(?P<path>/\S+) \(0x")
_AT_ONCE = 64


def ingredients() -> str:
    """A digest of everything the tree is made from; takes a fraction of a second, so every start can compare it."""
    digest = hashlib.sha256(f"{BUILDER} {sys.version} {sys.base_prefix}".encode())
    for path in (_interpreter(), *_tools().values()):
        digest.update(_stamp(path).encode())
    for each in _distributions():
        digest.update(f"{each.name}={each.version}\n".encode())
        digest.update((each.read_text("RECORD") or "").encode())
    for path in sorted(_agents_package().rglob("*.py")):
        digest.update(str(path.name).encode() + path.read_bytes())
    return digest.hexdigest()


def make_tree(root: Path, progress: Progress) -> None:
    """Fill the empty folder `root`.

    Raises:
        SandboxError: a shared library of the interpreter can't be found on this machine.
    """
    for each in _FOLDERS:
        (root / each).mkdir(parents=True)
    for link, target in _LINKS.items():
        (root / link).symlink_to(target)
    for name, text in _ETC.items():
        (root / "etc" / name).write_text(text, encoding="ascii")
    if _CERTIFICATES.is_file():
        _copy(_CERTIFICATES, root / "etc/ssl/certs/ca-certificates.crt")
    progress("copying the interpreter and its library")
    library = _copy_python(root)
    progress("copying the packages agents use")
    _copy_packages(library / "site-packages")
    for name, path in _tools().items():
        _copy(path, root / "usr/bin" / name)
    progress("copying the shared libraries")
    _copy_shared_libraries(root)
    progress("compiling what is not compiled yet")
    _compile(root, library)


def _interpreter() -> Path:
    """The real executable behind a venv's or pyenv's links."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def _version() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def _copy_python(root: Path) -> Path:
    binaries = root / "usr/local/bin"
    _copy(_interpreter(), binaries / _version())
    for link in ("python3", "python"):
        (binaries / link).symlink_to(_version())
    library = root / "usr/local/lib" / _version()
    _copy_folder(Path(sysconfig.get_path("stdlib")), library, _LEFT_OUT_OF_LIBRARY)
    (library / "site-packages").mkdir()
    (library / "dist-packages").unlink(missing_ok=True)
    (library / "dist-packages").symlink_to("site-packages")  # where Debian's Python looks instead
    return library


def _copy_folder(source: Path, target: Path, left_out: set[str]) -> None:
    for place, folders, files in os.walk(source):
        folders[:] = [each for each in folders if each not in left_out and not each.startswith("config-")]
        here = target / os.path.relpath(place, source)
        here.mkdir(parents=True, exist_ok=True)
        for name in files:
            path = Path(place, name)
            if path.is_file() and path.suffix not in {".a", ".exe"}:
                _copy(path, here / name)


def _copy_packages(target: Path) -> None:
    for each in _distributions():
        for entry in each.files or ():
            inside = not (".." in entry.parts or entry.is_absolute() or _LEFT_OUT_OF_PACKAGES.intersection(entry.parts))
            source = Path(str(each.locate_file(entry)))
            if inside and source.is_file():
                _copy(source, target / entry)
    _copy_folder(_agents_package(), target / "safebox/agents", {"__pycache__"})


def _agents_package() -> Path:
    found = importlib.util.find_spec("safebox.agents")
    if found is None or not found.submodule_search_locations:
        raise SandboxError("the package safebox.agents is not installed", "pip install safebox-firewall")
    return Path(found.submodule_search_locations[0])


def _distributions() -> list[Distribution]:
    """The installed packages agents want, with all they require, by name."""
    from importlib.metadata import PackageNotFoundError, distribution  # a firewall that starts needs none of this

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, Distribution] = {}
    wanted: list[tuple[str, frozenset[str]]] = [(each, frozenset()) for each in PACKAGES]
    seen: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        name, extras = asked = wanted.pop()
        if asked in seen:
            continue
        seen.add(asked)
        try:
            each = distribution(name)
        except PackageNotFoundError:
            continue
        found[canonicalize_name(name)] = each
        for line in each.requires or ():
            needed = Requirement(line)
            markers = [needed.marker is None or needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)]
            if any(markers):
                wanted.append((needed.name, frozenset(needed.extras)))
    return [found[name] for name in sorted(found)]


def _tools() -> dict[str, Path]:
    places = "/usr/bin:/bin:/usr/sbin:/sbin"
    found = {name: shutil.which(name, path=places) for name in TOOLS}
    return {name: Path(path).resolve() for name, path in found.items() if path is not None}


def _copy_shared_libraries(root: Path) -> None:
    """What `ldd` says the programs and extension modules load, into the directory the loader always searches."""
    needed: dict[str, Path] = {}
    for each in _batches(_programs(root)):
        needed |= _loaded_by(each)
    libc = next((path for name, path in needed.items() if name.startswith("libc.so")), None)
    if libc is None:
        raise SandboxError("the interpreter's C library can't be found", "install ldd (package libc-bin)")
    home = libc.resolve().parent
    for name in ("libgcc_s.so.1", "libnss_files.so.2"):  # loaded by name at run time
        if (home / name).is_file():
            needed.setdefault(name, home / name)
    target = root / (home if home.is_relative_to("/usr") else Path("/usr", home.relative_to("/"))).relative_to("/")
    for name, path in needed.items():
        if name.startswith("/"):  # the loader, which programs name by its full path
            inside = root / Path(name).relative_to("/")
            _copy(path.resolve(), inside.parent.resolve() / inside.name)
        else:
            _copy(path.resolve(), target / name)


def _programs(root: Path) -> Iterator[Path]:
    for place, _, files in os.walk(root):
        for name in files:
            path = Path(place, name)
            if (".so" in name or path.parent.name == "bin") and not path.is_symlink() and _is_elf(path):
                yield path


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _batches(paths: Iterable[Path]) -> Iterator[list[Path]]:
    batch: list[Path] = []
    for each in paths:
        batch.append(each)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _loaded_by(paths: list[Path]) -> dict[str, Path]:
    """Library name (or full path of the loader) → file; libraries inside the tree are found there already."""
    # The interpreter's own directory has libpython when Python was built shared.
    search = os.pathsep.join(filter(None, [str(sysconfig.get_config_var("LIBDIR") or "")]))
    answer = subprocess.run(
        ["ldd", *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "LD_LIBRARY_PATH": search},
    )
    found: dict[str, Path] = {}
    own = {str(path) for path in paths}
    for line in answer.stdout.splitlines():
        match = _LDD_LINE.match(line)
        if match is not None and match["path"] not in own and not _is_in_tree(match["path"], paths):
            found[match["name"] or match["path"]] = Path(match["path"])
    return found


def _is_in_tree(path: str, paths: list[Path]) -> bool:
    """Whether a wheel's own library (found through its $ORIGIN) was meant."""
    tree = os.path.commonpath([str(each) for each in paths]).partition("/usr/")[0]
    return os.path.normpath(path).startswith(tree + "/usr/local/") if tree else False


def _compile(root: Path, library: Path) -> None:
    """Compile the modules that have no compiled form: the tree is read-only, so it would never be stored later."""
    program = "import compileall,sys; compileall.compile_dir(sys.argv[1], quiet=2, workers=0, stripdir=sys.argv[2])"
    subprocess.run([sys.executable, "-I", "-c", program, str(library), str(root)], check=False, capture_output=True)


def _copy(source: Path, target: Path) -> None:
    """Contents and time, with plain permissions: nothing setuid, nothing unreadable."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.exists():
        target.unlink()
    shutil.copyfile(source, target)
    info = source.stat()
    target.chmod(0o755 if info.st_mode & 0o111 else 0o644)
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))


def _stamp(path: Path) -> str:
    info = path.stat()
    return f"{path} {info.st_size} {info.st_mtime_ns}\n"
