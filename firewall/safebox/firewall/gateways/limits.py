"""What a gateway takes from a sandbox before anybody has judged it: every bound, with its reason."""

from __future__ import annotations

from typing import Final

PORTS: Final = {"tools": 8700, "inference": 8701, "ethereum": 8545}
"""Where each gateway listens inside a sandbox, in the order in which listeners are handed over."""

HEAD_BYTES_MAX: Final = 32_768
"""Request line and headers: four times what common servers take, so that no SDK runs into it."""
FIELDS_MAX: Final = 100
"""Header fields; SDKs send about twenty."""
PIPELINE_MAX: Final = 16
"""Requests sent ahead on one connection; no client of today sends more than one."""
TOOLS_BODY_MAX: Final = 10_485_760
"""5 MiB of attachments as base64 (7 MiB), a 1 MiB body, and room for JSON's escapes."""
INFERENCE_BODY_MAX: Final = 8_388_608
"""More than any model's context as text; as much as a few pictures as base64."""
ETHEREUM_BODY_MAX: Final = 262_144
"""A batch of a hundred calls; nothing here carries bulk data."""
DISCARD_BYTES_MAX: Final = 67_108_864
"""Of a body that is too large, this much is read and dropped so that its sender gets to see the answer."""
HELD_BYTES_MAX: Final = 33_554_432
"""Bodies of one run held in memory at once: three of the largest."""

VALUES_MAX: Final = 20_000
"""Values in one JSON body: a long conversation has thousands; more are about 30 ms during which nobody is served."""
OPENERS_FEW: Final = 256
"""With no more brackets than this, strings included, JSON can't be nested deeply enough to hurt the parser."""
LARGE_BODY: Final = 16_384
"""A run's larger bodies are parsed one at a time, so that other runs have their turn in between."""

CONNECTIONS_MAX: Final = 256
"""Open connections of one run over all gateways: more than client pools open, less than hurts."""
CONNECTIONS_MIN: Final = 8
"""What a run may have open however many runs there are: one client of each gateway works."""
SPARE_DESCRIPTORS: Final = 256
"""File descriptors kept for the ledger, connectors, listeners and the control socket."""
BACKLOG: Final = 128
"""Connections the kernel may hold for one listener before they are accepted."""
CALLS_MAX: Final = 64
"""Calls of one run worked on at once: twice what loads a firewall fully."""
QUEUE_MAX: Final = 128
"""Calls of one run that may wait for their turn; more are told to come back."""
QUEUE_SECONDS: Final = 30.0
"""Longest wait for a turn: below the usual client's timeout, so that it hears why."""
RETRY_AFTER_S: Final = 1
"""What a client that was turned away for load is told to wait."""

HEAD_SECONDS: Final = 10.0
"""From a request's first byte to the end of its headers; loopback needs milliseconds."""
BODY_SECONDS: Final = 30.0
"""From the end of the headers to the end of the body."""
IDLE_SECONDS: Final = 75.0
"""An unused connection stays open a little longer than the usual client keeps it."""
WRITE_SECONDS: Final = 30.0
"""A client that takes nothing of its answer for so long is gone."""
WATCH_SECONDS: Final = 1.0
"""How often connections are looked at for the five above."""
DRAIN_SECONDS: Final = 5.0
"""How long a stopping firewall lets calls finish; what isn't finished then is found in the ledger."""

BATCH_MAX: Final = 100
"""Elements of one JSON-RPC batch."""
FRAGMENTS_MAX: Final = 128
"""Frames one WebSocket message may come in; libraries send one, or pieces of a few kilobytes."""
MESSAGES_AT_ONCE: Final = 16
"""Messages of one WebSocket worked on at once; the next ones wait unread."""
CONTROLS_MAX: Final = 100
"""Pings and the like of one WebSocket in a second; a client that lives sends one in twenty."""
FRAMES_AT_ONCE: Final = 16
"""Frames of a WebSocket taken apart in one go: about a millisecond, then others have their turn."""
READ_BYTES_MAX: Final = 8_192
"""Parameters of one chain read, as JSON: they leave the firewall unjudged, so they are kept small."""


class Limits:
    """The bounds in time, which tests shorten."""

    __slots__ = ("body", "head", "idle", "watch", "write")

    def __init__(
        self,
        *,
        head: float = HEAD_SECONDS,
        body: float = BODY_SECONDS,
        idle: float = IDLE_SECONDS,
        write: float = WRITE_SECONDS,
        watch: float = WATCH_SECONDS,
    ) -> None:
        self.head = head
        self.body = body
        self.idle = idle
        self.write = write
        self.watch = watch
