"""A policy bundle: what is in force, as values with one name.

Rule 1: a bundle is read from one or more folders: the pack first, then overlays. `*.rego` files are modules, except
        tests (`*_test.rego`); each `data.json` is data at the path of its folder (`data/limits/data.json` is
        `data.data.limits` in Rego), as OPA reads bundles. In data, a later folder's value replaces an earlier one's.
Rule 2: the digest names exactly the content that decides, whatever the file system's order, times or place.
Rule 3: what can't be read, is too large, or says a number that an engine would round, is refused as a whole.
Rule 4: an overlay's data may only make things stricter (`strictness`), but for the paths its `relax.json` names.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, cast

import msgspec

from safebox.firewall.engines.pack import pack_folder as pack_folder  # noqa: PLC0414 - where most look for it
from safebox.firewall.engines.relax import RELAX_NAME, read_relaxed
from safebox.firewall.engines.strictness import DIRECTIONS, Looser, looser_data, path_text
from safebox.firewall.errors import PolicyUnavailable

FILE_BYTES_MAX: Final = 1_048_576
"""A policy file is written by people; a longer one is not meant for this folder."""
BUNDLE_BYTES_MAX: Final = 16_777_216
"""Bounds the time and memory of every validation and activation."""
FILES_MAX: Final = 4_000
"""Leaves room for a thousand site rules in files of their own, and bounds what is polled."""
EXACT_INT_MAX: Final = 2**53
"""Above it one of the engines, or a tool that shows the data, may round an integer."""

Data = dict[str, Any]

SITE_DATA: Final = ("data", "site")
"""Where overlays keep numbers of their own."""
_RULES: Final = "data.safebox"
TEST_SUFFIX: Final = "_test.rego"
DATA_NAME: Final = "data.json"


class Module(msgspec.Struct, frozen=True):
    """One Rego file: its name in messages and coverage, its text, and where it was read from."""

    name: str
    text: str
    origin: str = ""


class Layer(msgspec.Struct, frozen=True):
    """One folder of a bundle: where it was, what it may make looser (path → reason), what site data it adds."""

    folder: str = ""
    relaxed: dict[str, str] = {}
    added: tuple[tuple[str, ...], ...] = ()


class Bundle(msgspec.Struct, frozen=True):
    """Everything a decision depends on besides its input. Equal content has an equal digest.

    `layers` say where it came from, the base first; they decide nothing and are not in the digest.
    """

    modules: tuple[Module, ...]
    data: str
    digest: str
    layers: tuple[Layer, ...] = ()

    @property
    def relaxed(self) -> dict[str, str]:
        """Every relaxation in force, with its reasons."""
        found: dict[str, str] = {}
        for layer in self.layers:
            for path, reason in sorted(layer.relaxed.items()):
                found[path] = f"{found[path]}; {reason}" if path in found else reason
        return found

    def encode(self) -> bytes:
        """Say the bundle as the canonical bytes whose SHA-256 is its digest, to be kept for repeating decisions."""
        return _canonical(self.modules, self.data)


def decode_bundle(raw: bytes) -> Bundle:
    """Read what `Bundle.encode` said.

    Raises:
        PolicyUnavailable: if it is anything else.
    """
    try:
        listing = msgspec.json.decode(raw, type=_Listing)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PolicyUnavailable(f"not a policy bundle: {error}", kind="broken") from error
    return seal([Module(name, text) for name, text in listing.modules], listing.data)


def load_bundle(folders: Sequence[Path], *, tests: bool = False) -> Bundle:
    """Read the folders into one bundle.

    Args:
        folders: the pack and then overlays, later data replacing earlier.
        tests: also take `*_test.rego` in, for running them; such a bundle is never put in force.

    Raises:
        PolicyUnavailable: if a folder is missing, has no module, can't be read, or is too large.
    """
    stack = Stack(tests=tests)
    for folder in folders:
        for path, looser in stack.add(folder):
            raise _too_loose(path, looser, folder)
    return stack.bundle()


class Stack:
    """Reads layers one by one, the base first.

    Args:
        tests: also take `*_test.rego` in.
    """

    def __init__(self, *, tests: bool = False) -> None:
        self._tests = tests
        self._modules: list[Module] = []
        self._data: Data = {}
        self._layers: list[Layer] = []
        self._directions: object = None
        self._budget = _Budget()
        self.used: set[tuple[int, str]] = set()
        """The relaxations that data needed: the layer's number, and the path."""

    def add(self, folder: Path) -> list[tuple[Path, Looser]]:
        """Take one more folder in; returns what its data makes looser and its `relax.json` doesn't name, and where.

        Raises:
            PolicyUnavailable: if it is missing, can't be read, or is too large.
        """
        index = len(self._layers)
        own, modules, files = self._read(folder, index)
        data = cast(Data, json.loads(json.dumps(self._data)))
        _merge(data, own, None)
        relaxed = read_relaxed(folder) if index else {}
        found: list[Looser] = []
        if index:
            found = looser_data(self._data, data, self._directions, said=self._said)
            self.used |= {(index, each.path) for each in found if each.path in relaxed}
            found = [each for each in found if each.path not in relaxed or _is_of_rules(each.path)]
        else:
            self._directions = _at(data, DIRECTIONS)
        self._layers.append(Layer(str(folder), relaxed, _added_for_sites(self._data, data)))
        self._modules += modules
        self._data = data
        return [(_file_of(each, files, folder), each) for each in found]

    def bundle(self) -> Bundle:
        """All layers as one bundle.

        Raises:
            PolicyUnavailable: if there is no module in it.
        """
        if not self._modules:
            raise PolicyUnavailable("no policy files found", kind="missing", remedy="check the policy folders")
        return seal(self._modules, json.dumps(self._data, sort_keys=True, ensure_ascii=False), self._layers)

    def _read(self, folder: Path, index: int) -> tuple[Data, list[Module], list[tuple[str, Path]]]:
        own: Data = {}
        modules: list[Module] = []
        files: list[tuple[str, Path]] = []
        for relative, path in policy_files(folder, tests=self._tests):
            text = _read(path, self._budget)
            if path.name == DATA_NAME:
                place = relative.split("/")[:-1]
                _graft(own, place, parse_data(text, path), path)
                files.append((path_text(("data", *place)), path))
            else:
                modules.append(Module(f"{index}/{relative}" if index else relative, text, str(path)))
        return own, modules, files

    def _said(self, code: str) -> bool:
        """Whether rules so far might say a code: the text of one has it, or its last part by itself."""
        last = code.rpartition(".")[2]
        parts = (code, f'"{last}"', f"`{last}`")
        return any(part in module.text for module in self._modules for part in parts)


def policy_files(folder: Path, *, tests: bool = False) -> Iterator[tuple[str, Path]]:
    """Name every file of a folder that belongs to a bundle, sorted by its path relative to the folder.

    Hidden files and folders are left out, and links to folders are not followed.

    Raises:
        PolicyUnavailable: if the folder is not there or holds too many files.
    """
    if not folder.is_dir():
        raise PolicyUnavailable(f"{folder} is not a folder", kind="missing", remedy="check the policy folders")
    found: list[tuple[str, Path]] = []
    for place, folders, names in os.walk(folder, onerror=_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if _belongs(name, tests=tests):
                path = Path(place, name)
                found.append((path.relative_to(folder).as_posix(), path))
        if len(found) > FILES_MAX:
            raise PolicyUnavailable(f"more than {FILES_MAX} policy files in {folder}", kind="too_large")
    yield from sorted(found)


class _Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    modules: list[tuple[str, str]]
    data: str


class _Budget:
    left = BUNDLE_BYTES_MAX

    def take(self, size: int, path: Path) -> None:
        self.left -= size
        if size > FILE_BYTES_MAX or self.left < 0:
            raise PolicyUnavailable(f"{path} makes the policy bundle too large", kind="too_large")


def _belongs(name: str, *, tests: bool) -> bool:
    if name.startswith("."):
        return False
    return name == DATA_NAME or (name.endswith(".rego") and (tests or not name.endswith(TEST_SUFFIX)))


def _read(path: Path, budget: _Budget) -> str:
    try:
        with open(path, "rb", opener=_at_once) as file:
            raw = file.read(FILE_BYTES_MAX + 1)
        budget.take(len(raw), path)
        return raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyUnavailable(f"{path} can't be read: {error}", kind="unreadable") from error


def _at_once(path: str, flags: int) -> int:
    """Open a plain file; what isn't one (a pipe) could keep its reader waiting."""
    handle = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError("it is no plain file")
    return handle


def _unreadable(error: OSError) -> NoReturn:
    raise PolicyUnavailable(f"a policy folder can't be read: {error}", kind="unreadable") from error


def parse_data(text: str, path: Path | str) -> Data:
    """Read a data file's text: one object, no key twice, whole numbers only.

    Raises:
        PolicyUnavailable: if it is anything else.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_int=_exact_int, parse_float=_inexact, parse_constant=_inexact
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a character can be said in JSON and not be text
    except (ValueError, RecursionError) as error:
        raise PolicyUnavailable(f"{path}: {error}", kind="broken") from error
    data = _as_object(value)
    if data is None:
        raise PolicyUnavailable(f"{path} is not a JSON object", kind="broken")
    return data


def _unique(pairs: list[tuple[str, Any]]) -> Data:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is given twice")
    return result


def _exact_int(text: str) -> int:
    value = int(text)
    if abs(value) > EXACT_INT_MAX:
        raise ValueError(f"{text[:40]} is beyond 2^53; write amounts as padded text")
    return value


def _inexact(text: str) -> NoReturn:
    raise ValueError(f"{text[:40]} is not exact; write whole numbers, ratios in basis points")


def _too_loose(file: Path, looser: Looser, folder: Path) -> PolicyUnavailable:
    remedy = f"to allow it all the same, name the path with a reason in {folder / RELAX_NAME}"
    cause = f"{file}: {looser.path} would be looser ({looser.why}); {remedy}"
    return PolicyUnavailable(cause, kind="looser", remedy=remedy)


def _is_of_rules(path: str) -> bool:
    """Whether data stands where rules do; nothing may relax that."""
    return path == _RULES or path.startswith((f"{_RULES}.", f"{_RULES}["))


def _file_of(looser: Looser, files: Sequence[tuple[str, Path]], folder: Path) -> Path:
    """The data file that says a path: the one deepest in the folder whose place leads there."""
    found = [(len(place), path) for place, path in files if looser.path.startswith(place)]
    return max(found)[1] if found else folder


def _added_for_sites(before: Data, after: Data) -> tuple[tuple[str, ...], ...]:
    old, new = _as_object(_at(before, SITE_DATA)) or {}, _as_object(_at(after, SITE_DATA)) or {}
    return tuple(("data", *SITE_DATA, key) for key in sorted(new.keys() - old.keys()))


def _at(data: Data, path: Sequence[str]) -> object:
    found: Any = data
    for part in path:
        found = (_as_object(found) or {}).get(part)
    return found


def _graft(tree: Data, path: Sequence[str], value: Data, origin: Path) -> None:
    for key in reversed(path):
        value = {key: value}
    _merge(tree, value, origin)


def _merge(tree: Data, extra: Data, origin: Path | None) -> None:
    """Take `extra` into `tree`. With an `origin` no value may be given twice, without one the new value wins."""
    for key, value in extra.items():
        inner, further = _as_object(tree.get(key)), _as_object(value)
        if inner is not None and further is not None:
            _merge(inner, further, origin)
        elif origin is not None and key in tree:
            raise PolicyUnavailable(f"{origin}: {key!r} is given by another data file too", kind="broken")
        else:
            tree[key] = value


def _as_object(value: Any) -> Data | None:
    return cast(Data, value) if isinstance(value, dict) else None


def seal(modules: Sequence[Module], data: str, layers: Sequence[Layer] = ()) -> Bundle:
    """Make a bundle of modules and the JSON text of their data."""
    ordered = tuple(sorted(modules, key=lambda module: module.name))
    digest = "sha256:" + hashlib.sha256(_canonical(ordered, data)).hexdigest()
    return Bundle(ordered, data, digest, tuple(layers))


def _canonical(modules: Sequence[Module], data: str) -> bytes:
    return msgspec.json.encode(_Listing([(module.name, module.text) for module in modules], data))
