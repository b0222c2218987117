"""What the policy tests share: the pack's own good inputs, broken copies of them, and edited copies of the pack."""

from __future__ import annotations

import copy
import functools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard, cast

from safebox.firewall.engines.bundle import Bundle, Module, decode_bundle, load_bundle, pack_folder
from safebox.firewall.engines.machine import Interpreter, new_interpreter

Document = dict[str, Any]
DELETED = object()


@functools.cache
def _good() -> str:
    return interpreter(load_bundle([pack_folder()], tests=True)).eval_rule_as_json(
        "data.safebox.fixtures_test.every_one"
    )


def good() -> dict[str, Document]:
    """By tool, the input that the pack's own tests allow; a fresh copy each time."""
    return {document["action"]["tool"]: document for document in json.loads(_good())}


def changed(document: Document, path: str, value: object) -> Document:
    """A copy with one field (`facts.rates.hour`) set to another value, or DELETED."""
    result = copy.deepcopy(document)
    *steps, last = path.split(".")
    place: Any = result
    for step in steps:
        place = place[_key(place, step)]
    if value is DELETED:
        del place[_key(place, last)]
    else:
        place[_key(place, last)] = value
    return result


def _key(place: Any, step: str) -> Any:
    return int(step) if isinstance(place, list) else step


def paths(value: Any, prefix: str = "") -> Iterator[str]:
    """Every field in a document, inner ones too."""
    for key, item in _items(value):
        yield f"{prefix}{key}"
        yield from paths(item, f"{prefix}{key}.")


def _items(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(cast(Document, value).items())
    return list(enumerate(value)) if _is_list(value) else []


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def encode(document: object) -> bytes:
    return json.dumps(document).encode()


def interpreter(bundle: Bundle) -> Interpreter:
    """The second implementation of the embedded package, for comparing."""
    engine = new_interpreter()
    for module in bundle.modules:
        engine.add_policy(module.name, module.text)
    engine.add_data_json(bundle.data)
    return engine


def copy_pack(folder: Path) -> Path:
    """A copy of the pack that may be edited."""
    return shutil.copytree(pack_folder(), folder / "policies")


def with_site(text: str, kind: str = "all") -> Bundle:
    """The pack and one site module more."""
    return with_module(f"1/safebox/site/{kind}/{kind}.rego", f"package safebox.site.{kind}\n\n{text}\n")


def with_module(name: str, text: str) -> Bundle:
    """The pack and one module more."""
    pack = load_bundle([pack_folder()])
    return bundle_of(pack.data, *pack.modules, Module(name, text))


def bundle_of(data: str, *modules: Module) -> Bundle:
    """A bundle of exactly these."""
    listing = {"modules": [(module.name, module.text) for module in modules], "data": data}
    return decode_bundle(json.dumps(listing).encode())


def alone(text: str, data: str = "{}") -> Bundle:
    """A bundle of one module, `package safebox.main`."""
    return bundle_of(data, Module("safebox/main/main.rego", f"package safebox.main\n\n{text}\n"))
