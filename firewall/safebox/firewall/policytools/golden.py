"""The golden set: questions with the answer each must have, kept beside the pack and asked of every engine.

`golden/inputs.json` has one whole policy input for each tool, as the pack's own tests have them. Every other file there
is a domain's: sentences, each a change of one of these inputs and what comes of it.

    {"email": {"a stranger gets no mail": {"base": "email.send", "set": {"/facts/recipients/0/listed": false},
                                           "verdict": "deny", "codes": ["email.recipient_not_listed"]}}}

Rule 1: a place is a JSON pointer (RFC 6901). `set` may add a field to an object, and `-` adds an item to a list.
Rule 2: a set that can't be read to the last letter is refused as a whole: a golden left out is a mistake not found.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from safebox.firewall.core.decision import Verdict
from safebox.firewall.errors import PolicyUnavailable

FOLDER: Final = "golden"
INPUTS: Final = "inputs.json"

Document = dict[str, Any]
_T = TypeVar("_T")


class Golden(msgspec.Struct, frozen=True):
    """One question as it is asked, and the verdict and codes of its answer, in the answer's order."""

    name: str
    document: bytes
    verdict: Verdict
    codes: tuple[str, ...]


class _Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    base: str
    verdict: Verdict
    codes: tuple[str, ...]
    set: dict[str, Any] = {}
    remove: tuple[str, ...] = ()


class _Inputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    inputs: dict[str, Document]


def load_golden(folder: Path) -> list[Golden]:
    """Read the golden set of a pack: its plain inputs first, all of them allowed, then the domains' sentences.

    Args:
        folder: the pack, or its folder `golden`.

    Raises:
        PolicyUnavailable: if there is none, or any of it can't be read.
    """
    golden = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    inputs = load_inputs(golden)
    found = [Golden(tool, _encode(document), Verdict.ALLOW, ()) for tool, document in inputs.items()]
    for path in sorted(golden.glob("*.json")):
        if path.name != INPUTS:
            found += _read_domain(path, inputs)
    return found


def load_inputs(folder: Path) -> dict[str, Document]:
    """Read the whole policy input that each tool's goldens start from, by tool.

    Args:
        folder: the pack, or its folder `golden`.

    Raises:
        PolicyUnavailable: if they can't be read.
    """
    golden = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    return _decode(golden / INPUTS, _Inputs).inputs


def _read_domain(path: Path, inputs: dict[str, Document]) -> Iterator[Golden]:
    for domain, cases in _decode(path, dict[str, dict[str, _Case]]).items():
        if domain != path.stem:
            raise _broken(path, f"it is about {domain}")
        for sentence, case in cases.items():
            yield Golden(f"{domain}: {sentence}", _apply(path, sentence, case, inputs), case.verdict, case.codes)


def _apply(path: Path, sentence: str, case: _Case, inputs: dict[str, Document]) -> bytes:
    try:
        document = copy.deepcopy(inputs[case.base])
        for pointer, value in case.set.items():
            place, key = _place(document, pointer)
            _put(place, key, value)
        for pointer in case.remove:
            place, key = _place(document, pointer)
            del place[_step(place, key)]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _broken(path, f"{sentence!r} changes what is not there: {error}") from error
    return _encode(document)


def _place(document: Document, pointer: str) -> tuple[Any, str]:
    """Where a pointer's last step is to be taken, and that step."""
    start, *steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")]
    if start or not steps:
        raise ValueError(f"{pointer!r} is no JSON pointer")
    place: Any = document
    for step in steps[:-1]:
        place = place[_step(place, step)]
    return place, steps[-1]


def _step(place: Any, step: str) -> Any:
    if not isinstance(place, list):
        return step
    if not step.isdecimal():
        raise ValueError(f"{step!r} is no place in a list")
    return int(step)


def _put(place: Any, key: str, value: Any) -> None:
    if isinstance(place, list) and key == "-":
        place.append(value)  # pyright: ignore[reportUnknownMemberType]
    else:
        place[_step(place, key)] = value


def _decode(path: Path, kind: type[_T]) -> _T:
    try:
        found = json.loads(path.read_bytes(), object_pairs_hook=_unique)
        return msgspec.convert(found, kind, strict=True)
    except (OSError, ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
        raise _broken(path, str(error)) from error


def _unique(pairs: list[tuple[str, Any]]) -> Document:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("something is said twice")
    return result


def _broken(path: Path, why: str) -> PolicyUnavailable:
    return PolicyUnavailable(f"{path}: {why}", kind="broken", remedy="correct the golden set")


def _encode(document: Document) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
