"""Records say exactly one thing, and hash onto each other."""

import hashlib

import msgspec
import pytest

from safebox.firewall.core.record import (
    GENESIS,
    AskedAgain,
    Decided,
    HoldClosed,
    LedgerEvent,
    PolicyActivated,
    RunEnded,
    Voted,
    chain,
    decode_event,
    encode_event,
)
from tests.unit.cli import sample_ledger

EVENTS: list[LedgerEvent] = [
    sample_ledger.started(),
    sample_ledger.TRANSFER,
    sample_ledger.MAIL,
    sample_ledger.HOLD,
    sample_ledger.SETTLED,
    sample_ledger.ENDED,
    PolicyActivated(at_ns=1, bundle="sha256:0"),
    RunEnded(at_ns=1, run="run_1", reason="exited", exit_code=None),
    Voted(
        at_ns=2,
        run="run_1",
        hold="dec_1",
        digest="sha256:1",
        bundle="sha256:2",
        group="owners",
        verdict="deny",
        approver="alice",
        signed_ns=1,
        key="alice+0+0",
        signature="AAAA",
    ),
    HoldClosed(at_ns=1, run="run_1", hold="dec_1", reason="expired"),
    AskedAgain(at_ns=1, run="run_1", hold="dec_1", key=None, told=True),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_is_read_back_and_written_the_same_again(event: LedgerEvent) -> None:
    record = encode_event(event)
    assert encode_event(decode_event(record)) == record
    assert type(decode_event(record)) is type(event)


def test_a_decision_of_an_older_firewall_came_of_no_hold() -> None:
    fields = msgspec.json.decode(encode_event(sample_ledger.TRANSFER))
    for name in ("hold", "firewall"):
        del fields[name]
    read = decode_event(msgspec.json.encode(fields))
    assert isinstance(read, Decided)
    assert (read.hold, read.firewall) == (None, "")


def test_a_record_is_the_same_bytes_whatever_the_order_of_its_fields() -> None:
    record = encode_event(sample_ledger.SETTLED)
    fields = msgspec.json.decode(record)
    backwards = msgspec.json.encode(dict(reversed(list(fields.items()))))
    assert backwards != record
    assert encode_event(decode_event(backwards)) == record


@pytest.mark.parametrize(
    "record", [b"", b"{}", b"[]", b'{"event":"other","at_ns":1}', b'{"event":"run_ended"}', b"\xff"]
)
def test_what_is_no_record_is_not_read(record: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        decode_event(record)


def test_the_chain_is_a_plain_hash_that_anybody_can_compute() -> None:
    assert hashlib.sha256(b"safebox ledger 1").digest() == GENESIS
    assert chain(GENESIS, b"a") == hashlib.sha256(GENESIS + b"a").digest()
    assert chain(chain(GENESIS, b"a"), b"b") != chain(chain(GENESIS, b"b"), b"a")
