"""Brings a bundle into an OPA server, so that no question is ever answered by half of it or by two of them.

OPA's REST API changes one policy at a time and compiles everything at each change. So a bundle is loaded like this:

1. its manifest is removed: OPA allows changes again
2. the gate is removed: from here on nothing is answered. The gate is a module that says safebox's decision together
   with the digest of the bundle it is from, and it says that only while the manifest names the same digest
3. data is put anew; policies that are not of the bundle go, those that changed are replaced
4. the gate comes back, with the new digest
5. a manifest without the digest comes: OPA refuses changes to everything the bundle owns from here on
6. what the server holds is compared with the bundle, text by text
7. the manifest gets the digest: questions are answered

A policy that somebody changes meanwhile is found in step 6, and after it OPA refuses the change; removing the manifest
closes the gate. A load that is cut off at any step leaves a closed gate. Two firewalls with different bundles that load
at the same time close each other's gates: neither is answered by a mixture.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple, cast

from safebox.firewall.engines.bundle import Bundle
from safebox.firewall.engines.disputed import unsure_negations
from safebox.firewall.engines.opa_server import OWNED, Listed, OpaRefused, OpaServer
from safebox.firewall.engines.syntax import Source, parse_module, references
from safebox.firewall.errors import PolicyUnavailable

LOAD_SECONDS: Final = 60.0
"""The pack takes a third of a second. It grows with the square of the number of files: a thousand take minutes."""
GATE: Final = "safebox_gate"
PREFIX: Final = "safebox/"
"""Of the identifiers of policies that safebox puts."""
_GATE_TEXT: Final = """package {gate}

bundle := "{digest}" if data.system.bundles.safebox.manifest.revision == "{digest}"

decision := data.safebox.main.decision
"""

Step = Callable[[], Awaitable[None]]


class Content(NamedTuple):
    """A bundle as the server is to hold it: policies by identifier, data by path, and the roots of both."""

    digest: str
    policies: dict[str, str]
    data: dict[str, dict[str, Any]]
    roots: frozenset[str]


async def load(server: OpaServer, bundle: Bundle) -> None:
    """Make the server answer by this bundle and no other. See the module's text.

    Raises:
        PolicyUnavailable: if it doesn't; then it answers nothing.
    """
    content = prepare(bundle)
    try:
        async with asyncio.timeout(LOAD_SECONDS):
            await _load(server, content)
    except TimeoutError as error:
        cause = f"loading the policy into the {server.name} takes longer than {LOAD_SECONDS:.0f} s"
        raise PolicyUnavailable(cause, kind="broken", remedy="put rules of one kind into one file") from error


def prepare(bundle: Bundle) -> Content:
    """Say what the server is to hold.

    Raises:
        PolicyUnavailable: if the bundle takes what is OPA's own or could see what isn't the bundle's.
    """
    sources = [parse_module(module) for module in bundle.modules]
    data = cast("dict[str, Any]", json.loads(bundle.data))
    packages = {source.package[1:] for source in sources}
    roots = {package[0] for package in packages} | data.keys()
    for reserved in ("system", GATE):
        if reserved in roots:
            raise PolicyUnavailable(f"data.{reserved} is not for policies: an OPA server has its own there")
    for source in sources:
        _check_rules(source, roots)
    policies = {PREFIX + source.module.name: source.module.text for source in sources}
    return Content(bundle.digest, policies, dict(_plots(data, packages)), frozenset({*roots, GATE}))


def gate(digest: str) -> str:
    """The module that gives answers together with the bundle they are from."""
    return _GATE_TEXT.format(gate=GATE, digest=digest)


def _check_rules(source: Source, roots: Iterable[str]) -> None:
    """A server may hold other things, too, which no rule may depend on; and it reads some negations its own way."""
    for line, why in unsure_negations(source):
        raise PolicyUnavailable(f"{source.module.name}:{line}: {why}")
    for rule in source.rules:
        for reference in references(rule.tree):
            path = source.resolve(reference.path)
            if path[0] == "data" and (len(path) == 1 or path[1] not in roots):
                where = f"{source.module.name}:{reference.line}"
                raise PolicyUnavailable(f"{where}: {'.'.join(path)} is not of this bundle; an OPA server may have more")


def _plots(
    data: dict[str, Any], packages: set[tuple[str, ...]], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The largest documents that hold no package: each can be put and compared as a whole."""
    for key, value in data.items():
        here = (*path, key)
        if not isinstance(value, dict):
            name = ".".join(("data", *here))
            raise PolicyUnavailable(f"{name} is data beside rules; an OPA server needs it in an object of its own")
        if any(package[: len(here)] == here for package in packages):
            yield from _plots(cast("dict[str, Any]", value), packages, here)
        else:
            yield "/".join(here), cast("dict[str, Any]", value)


async def _load(server: OpaServer, content: Content) -> None:
    await server.delete_data(OWNED)  # 1
    await server.delete_policy(PREFIX + GATE)  # 2
    held = {name: each for name, each in (await server.policies()).items() if _ours(name, each, content)}
    for root in content.roots:  # 3
        await server.delete_data(root)
    await _change(server, held, content)
    for path, value in content.data.items():
        await server.put_data(path, value)
    await server.put_policy(PREFIX + GATE, gate(content.digest))  # 4
    revision = f"loading-{secrets.token_hex(8)}"
    await server.put_data(f"{OWNED}/manifest", {"revision": revision, "roots": sorted(content.roots)})  # 5
    await _compare(server, content)  # 6
    await server.replace_data(f"{OWNED}/manifest", "revision", content.digest)  # 7


def _ours(name: str, held: Listed, content: Content) -> bool:
    return name.startswith(PREFIX) or held.package[1:2] == () or held.package[1] in content.roots


async def _change(server: OpaServer, held: dict[str, Listed], content: Content) -> None:
    """Make the policies those of the bundle; the shortest way if there is one, else from nothing."""
    gone = [name for name in held if name not in content.policies]
    changed = [name for name, text in content.policies.items() if name not in held or held[name].text != text]
    try:
        await _in_any_order(_steps(server, content, gone, changed))
    except OpaRefused:
        if not held:
            raise
        await _in_any_order(_steps(server, content, held, ()))
        await _in_any_order(_steps(server, content, (), content.policies))


def _steps(server: OpaServer, content: Content, gone: Iterable[str], put: Iterable[str]) -> list[Step]:
    return [
        *(partial(server.delete_policy, name) for name in gone),
        *(partial(server.put_policy, name, content.policies[name]) for name in put),
    ]


async def _in_any_order(steps: list[Step]) -> None:
    """Take steps that may need one another (a caller its function) until none is left.

    Raises:
        OpaRefused: if the server refuses all that are left; the reason of the one that is not only waiting for others.
    """
    while steps:
        refused: list[tuple[Step, OpaRefused]] = []
        for step in steps:
            try:
                await step()
            except OpaRefused as error:
                refused.append((step, error))
        if len(refused) == len(steps):
            raise min((error for _, error in refused), key=lambda error: "undefined function" in error.cause)
        steps = [step for step, _ in refused]


async def _compare(server: OpaServer, content: Content) -> None:
    wanted = {**content.policies, PREFIX + GATE: gate(content.digest)}
    held = {name: each.text for name, each in (await server.policies()).items() if _ours(name, each, content)}
    if held != wanted:
        names = sorted(name for name in held.keys() | wanted.keys() if held.get(name) != wanted.get(name))
        raise OpaRefused(f"the {server.name} holds another {names[0]} than it was given; does somebody else use it?")
    for path, value in content.data.items():
        if _exactly(await server.value(path)) != _exactly(value):
            raise OpaRefused(f"the {server.name} holds other data at {path} than it was given")


def _exactly(value: Any) -> str:
    """A value so that 1, 1.0 and true differ."""
    return json.dumps(value, sort_keys=True)
