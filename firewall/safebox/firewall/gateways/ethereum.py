"""The ethereum gateway: JSON-RPC for a wallet whose key is elsewhere, over HTTP and WebSocket.

Rule 1: a method is in the table `methods.METHODS`, by its exact name, or it doesn't exist.
Rule 2: what the firewall knows itself (chain, address) it answers itself.
Rule 3: reads go to the node, bounded and only for runs with a wallet; they change nothing, and answers come back as the
        node wrote them. All reads of one batch are of one node.
Rule 4: what would sign or send is an action like any other (`acts.ACTS`); what comes signed is refused for whose it is.
Rule 5: filters and subscriptions are this run's own; no node keeps them, and no other run can ask for them.
Rule 6: a page of another origin is not the run's program: what a browser in the sandbox shows may not ask here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec

from safebox.firewall.core.action import Call
from safebox.firewall.core.reply import Reply, Status, could_not, invalid
from safebox.firewall.counts import OTHER
from safebox.firewall.errors import CallerError, EffectError, FirewallError
from safebox.firewall.gateways.acts import ACTS, REFUSALS, Act
from safebox.firewall.gateways.body import read_json
from safebox.firewall.gateways.bounds import check_span, log_span, open_span, wanted_logs
from safebox.firewall.gateways.exchange import NOT_FOUND, WRONG_METHOD, Exchange, Header, http_status, retry_header
from safebox.firewall.gateways.gate import Gate
from safebox.firewall.gateways.heads import POLL_SECONDS, ChainReader, Heads
from safebox.firewall.gateways.limits import BATCH_MAX, ETHEREUM_BODY_MAX, READ_BYTES_MAX
from safebox.firewall.gateways.methods import METHODS, Kind
from safebox.firewall.gateways.rpc import (
    CODES,
    FOREIGN,
    INVALID_REQUEST,
    NO_SUCH_METHOD,
    PARSE_ERROR,
    UNAVAILABLE,
    answer,
    misasked,
    no_method,
    node_answer,
    parse_request,
    read_request,
    told,
)
from safebox.firewall.gateways.share import Share, SharedReader
from safebox.firewall.gateways.subscriptions import Subscriptions
from safebox.firewall.metrics import Metrics
from safebox.firewall.ports import Desk, RunView

CLIENT_VERSION: Final = "safebox/ethereum-gateway"
_HOME: Final = re.compile(rb"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.ASCII)
_ANSWERED: Final = (Status.DONE, Status.UNKNOWN)
"""A payment that is signed and not yet seen in a block has its hash already, and that is what a node answers with."""
_FOREIGN: Final = Reply(status=Status.DENIED, code=FOREIGN, message="a page of another origin may not ask here")


class Asker:
    """Whoever asks in one HTTP request or WebSocket message: its run, and what it holds until it is answered."""

    def __init__(self, view: RunView, gate: Gate, share: Share | None, chain: ChainReader | None) -> None:
        self.view = view
        self.share = share
        self.live: Subscriptions | None = None
        self._gate = gate
        self._chain = chain
        self._reader: ChainReader | None = None
        self._held = 0

    def reader(self) -> ChainReader:
        """Reads of one node for all that is asked here.

        Raises:
            CallerError: if the run has no chain.
        """
        if self._chain is None or self.share is None or self.view.mandate.wallet is None:
            raise CallerError("this run has no wallet, so it has no chain", code="transfer.not_granted")
        if self._reader is None:
            self._reader = SharedReader(self._chain.pinned(), self.share)
        return self._reader

    def hold(self, size: int) -> None:
        """Count bytes of an answer until `release`.

        Raises:
            Overloaded: if the run holds too many.
        """
        self._gate.hold(size)
        self._held += size

    def release(self) -> None:
        """It is answered."""
        self._gate.release(self._held)
        self._held = 0


class EthereumGateway:
    """Speaks JSON-RPC, single and in batches."""

    name = "ethereum"
    body_max = ETHEREUM_BODY_MAX

    def __init__(self, desk: Desk, metrics: Metrics, chain: ChainReader | None, *, poll: float = POLL_SECONDS) -> None:
        self._desk = desk
        self._metrics = metrics
        self._chain = chain
        self._heads = None if chain is None else Heads(chain, poll=poll)
        self._shares: WeakKeyDictionary[Gate, Share] = WeakKeyDictionary()

    async def close(self) -> None:
        """Follow the chain no more."""
        if self._heads is not None:
            await self._heads.close()

    async def serve(self, run: str, exchange: Exchange, body: bytes) -> None:
        """Answer one request of a run, which may be a batch; its elements are judged one after the other."""
        refused = self.unwelcome(exchange.path, exchange.header(b"origin"))
        if refused is None and exchange.method != "POST":
            refused = WRONG_METHOD
        if refused is not None:
            await exchange.respond(*self.refusal(refused))
            return
        asker = self.asker(run, exchange.gate)
        try:
            document = await self.answer(asker, await read_json(body, exchange.gate, floats=True))
            await exchange.respond(200, document)
        finally:
            asker.release()

    def unwelcome(self, path: str, origin: bytes | None) -> Reply | None:
        """Why a request, or a WebSocket, isn't taken at all."""
        if path not in ("/", ""):
            return NOT_FOUND
        if origin is not None and _HOME.fullmatch(origin) is None:
            return _FOREIGN
        return None

    def converse(
        self, run: str, gate: Gate, send: Callable[[bytes], Awaitable[None]], end: Callable[[], None]
    ) -> Conversation:
        """What answers the messages of one WebSocket."""
        return Conversation(self, run, gate, send, end)

    def refusal(self, reply: Reply) -> tuple[int, bytes, Sequence[Header]]:
        """Say that a whole HTTP request is refused."""
        code = PARSE_ERROR if reply.status is Status.INVALID else CODES[reply.status]
        return http_status(reply), msgspec.json.encode(answer(None, error=told(code, reply))), retry_header(reply)

    async def answer(self, asker: Asker, asked: Any) -> bytes:
        """Answer one parsed document.

        Raises:
            CallerError: if it is a batch of no or too many requests.
        """
        if not isinstance(asked, list):
            return msgspec.json.encode(await self._one(asker, asked))
        batch: list[Any] = asked  # pyright: ignore[reportUnknownVariableType]
        if not 0 < len(batch) <= BATCH_MAX:
            raise CallerError(f"a batch has 1 to {BATCH_MAX} requests")
        return msgspec.json.encode([await self._one(asker, one) for one in batch])

    def subscriptions(
        self, run: str, gate: Gate, send: Callable[[bytes], Awaitable[None]], end: Callable[[], None]
    ) -> Subscriptions | None:
        """The subscriptions of a new connection; None if there is no chain."""
        share = self._share(gate)
        if self._chain is None or self._heads is None or share is None:
            return None
        reader = SharedReader(self._chain, share)
        may_ask = lambda: self._desk.view(run)  # noqa: E731
        return Subscriptions(self._heads, share, reader, may_ask=may_ask, send=send, end=end)

    def asker(self, run: str, gate: Gate) -> Asker:
        """Who asks in one request or message.

        Raises:
            FirewallError: if the run may not ask now.
        """
        return Asker(self._desk.view(run), gate, self._share(gate), self._chain)

    def _share(self, gate: Gate) -> Share | None:
        """A run's share lives as long as its gate: attached anew it has no filters, as after a node's restart."""
        if self._heads is None:
            return None
        found = self._shares.get(gate)
        if found is None:
            found = self._shares[gate] = Share(self._heads, asyncio.get_running_loop().time)
        return found

    async def _one(self, asker: Asker, asked: Any) -> dict[str, Any]:
        try:
            number, method, params = parse_request(asked)
        except CallerError as error:
            return answer(None, error=told(INVALID_REQUEST, invalid(error)))
        try:
            return answer(number, **await self._dispatch(asker, method, params))
        except CallerError as error:
            return answer(number, error=misasked(error))
        except EffectError as error:
            self._metrics.failed(error)
            return answer(number, error=told(UNAVAILABLE, could_not(error)))
        except FirewallError as error:
            return answer(number, error=told(UNAVAILABLE, could_not(error)))

    async def _dispatch(self, asker: Asker, method: str, params: list[Any]) -> dict[str, Any]:
        listed = METHODS.get(method)
        if listed is None:
            self._metrics.unsigned(OTHER, NO_SUCH_METHOD)
            return {"error": no_method(method)}
        if len(params) > listed.params:
            raise CallerError(f"{method} takes at most {listed.params} parameters")
        if listed.kind is Kind.OWN:
            return _own(asker.view, method)
        if listed.kind in (Kind.DECIDE, Kind.REFUSE):
            return await self._act(asker.view, method, params)
        self._desk.view(asker.view.id)  # a batch outlasts a stop, and a read leaves the machine
        if listed.kind is Kind.LIVE:
            return {"result": await _live(asker, method, params)}
        if listed.kind is Kind.FILTER:
            return await self._filter(asker, method, params)
        if listed.bound is not None:
            listed.bound(params)
        return await self._read(asker, method, params)

    async def _act(self, view: RunView, method: str, params: list[Any]) -> dict[str, Any]:
        try:
            act, tool, arguments = _asked_of_wallet(view, method, params)
        except CallerError as error:
            self._metrics.unsigned(method, error.code)
            raise
        reply = await self._desk.handle(Call(run=view.id, tool=tool, arguments=arguments))
        if reply.status in _ANSWERED and reply.result is not None and act.answer in reply.result:
            return {"result": reply.result[act.answer]}
        return {"error": told(CODES[reply.status], reply)}

    async def _read(self, asker: Asker, method: str, params: list[Any]) -> dict[str, Any]:
        reader = asker.reader()
        request = read_request(method, params)
        if len(request) > READ_BYTES_MAX:
            raise CallerError(f"{method} takes parameters of at most {READ_BYTES_MAX} bytes in all")
        if method == "eth_getLogs":
            await _check_open_span(params, reader)
        self._metrics.chain_read(method)
        content = await reader.forward(request)
        asker.hold(len(content))
        return node_answer(content)

    async def _filter(self, asker: Asker, method: str, params: list[Any]) -> dict[str, Any]:
        reader = asker.reader()
        assert asker.share is not None  # noqa: S101 - there is a reader
        filters, named = asker.share.filters, params[0] if params else None
        match method:
            case "eth_newBlockFilter":
                return {"result": await filters.add(None)}
            case "eth_newFilter":
                if len(msgspec.json.encode(params)) > READ_BYTES_MAX:
                    raise CallerError(f"{method} takes parameters of at most {READ_BYTES_MAX} bytes in all")
                return {"result": await filters.add(wanted_logs(params))}
            case "eth_getFilterChanges":
                return {"result": await filters.changes(named, reader)}
            case "eth_getFilterLogs":
                return await self._read(asker, "eth_getLogs", [filters.logs_of(named)])
            case _:
                return {"result": filters.remove(named)}


class Conversation:
    """One WebSocket of one run."""

    def __init__(
        self,
        gateway: EthereumGateway,
        run: str,
        gate: Gate,
        send: Callable[[bytes], Awaitable[None]],
        end: Callable[[], None],
    ) -> None:
        self._gateway = gateway
        self._run = run
        self._gate = gate
        self._live = gateway.subscriptions(run, gate, send, end)

    @property
    def busy(self) -> bool:
        """Whether there is news to wait for."""
        return bool(self._live)

    async def answer(self, message: bytes, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Answer one message, which is counted against the run until it is sent.

        Raises:
            CallerError: if it isn't JSON of one meaning, or a batch of too many.
            FirewallError: if the run may not ask now.
        """
        asker = self._gateway.asker(self._run, self._gate)
        asker.live = self._live
        try:
            asked = await read_json(message, self._gate, floats=True)
            await send(await self._gateway.answer(asker, asked))
        finally:
            asker.release()
            if self._live is not None:
                self._live.begin()

    def close(self) -> None:
        """End the subscriptions."""
        if self._live is not None:
            self._live.close()


def _asked_of_wallet(view: RunView, method: str, params: list[Any]) -> tuple[Act, str, dict[str, Any]]:
    if method in REFUSALS:
        raise REFUSALS[method](params, view)
    act = ACTS[method]
    if len(params) != act.params:
        raise CallerError(f"{method} takes {act.params} parameters")
    return act, *act.read(params, view)


async def _live(asker: Asker, method: str, params: list[Any]) -> Any:
    asker.reader()
    if asker.live is None:
        raise CallerError("notifications not supported: subscriptions need a WebSocket")
    if method == "eth_unsubscribe":
        return asker.live.remove(params[0] if params else None)
    if len(msgspec.json.encode(params)) > READ_BYTES_MAX:
        raise CallerError(f"{method} takes parameters of at most {READ_BYTES_MAX} bytes in all")
    return await asker.live.add(params)


async def _check_open_span(params: list[Any], reader: ChainReader) -> None:
    """See that a range whose other end only the node knows isn't too long."""
    span = log_span(wanted_logs(params))
    if span is None or not open_span(span):
        return
    outcome = node_answer(await reader.forward(read_request("eth_blockNumber", [])))
    try:
        newest = int(msgspec.json.decode(bytes(outcome["result"]), type=str), 16)
    except (KeyError, ValueError, msgspec.DecodeError) as error:
        raise EffectError("the node's height is none") from error
    check_span(newest if span.first is None else span.first, newest if span.last is None else span.last)


def _own(view: RunView, method: str) -> dict[str, Any]:
    """Answer what the firewall knows itself, and nothing else."""
    grant = view.mandate.wallet
    accounts = [view.address] if view.address else []
    known: dict[str, Any] = {
        "eth_accounts": accounts,
        "eth_requestAccounts": accounts,
        "web3_clientVersion": CLIENT_VERSION,
    }
    if grant is not None:
        known |= {"eth_chainId": hex(grant.chain_id), "net_version": str(grant.chain_id), "eth_coinbase": view.address}
    return {"result": known[method]} if method in known else {"error": no_method(method)}
