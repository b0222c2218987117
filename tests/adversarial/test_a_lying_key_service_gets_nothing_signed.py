"""A service that holds the owner's key may lie, break off, or be another one: then nothing is signed, and why is said.

The service is a process of its own with a real key. Beside each lie is the truth it differs from, which is signed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from safebox.firewall.accounts import decode_transaction, signer_of, signer_of_digest
from safebox.firewall.errors import EffectError
from safebox.firewall.keystore import OWNER
from safebox.firewall.signer import wire
from safebox.firewall.signer.client import ANSWER_SECONDS, SignerClient
from safebox.firewall.signer.kms import SIGN_SECONDS, START_SECONDS, KeyService
from safebox.firewall.signer.process import begin as begin_signer
from safebox.firewall.signer.refusal import SignerRefused
from safebox.firewall.signer.watermark import FILE_NAME
from tests.key_service import BROKEN, LIES, OTHER, TRUE, KeyServer, begin, key_server
from tests.signers import Book, Gateway

DIGEST = b"\x07" * 31 + b"\x01"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyServer]:
    with key_server(tmp_path_factory.mktemp("k") / "kms.sock") as found:
        yield found


@pytest.mark.parametrize("how", LIES)
def test_an_untrue_signature_is_none(server: KeyServer, how: str) -> None:
    with pytest.raises(EffectError, match=r"asked in vain: its (answer|signature) is"):
        KeyService(server.service(f"lies/{how}")).sign_digest(DIGEST)


@pytest.mark.parametrize("how", TRUE)
def test_both_halves_of_a_true_one_are_one_signature(server: KeyServer, how: str) -> None:
    made = KeyService(server.service(f"lies/{how}")).sign_digest(DIGEST)
    assert signer_of_digest(DIGEST, made[:64] + bytes([made[64] - 27])) == server.address


@pytest.mark.parametrize("how", BROKEN)
def test_one_that_breaks_off_or_never_ends_is_not_waited_for(
    server: KeyServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SIGN_SECONDS", "START_SECONDS"):
        monkeypatch.setattr(f"safebox.firewall.signer.kms.{name}", 0.5)
    began = time.monotonic()
    with pytest.raises(EffectError, match="asked in vain") as caught:
        KeyService(server.service(f"lies/{how}")).sign_digest(DIGEST)
    assert time.monotonic() - began < 3
    assert "<b>" not in caught.value.cause


def test_the_firewall_waits_longer_for_the_signer_than_the_signer_for_the_service() -> None:
    assert START_SECONDS < SIGN_SECONDS < ANSWER_SECONDS / 2


def test_a_token_nobody_else_can_read_is_sent_and_never_told(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("right-and-secret\n")
    with key_server(tmp_path / "kms.sock", token="right-and-secret") as server:
        with pytest.raises(EffectError, match="others could read"):
            KeyService(server.service(token=token)).sign_digest(DIGEST)
        token.chmod(0o600)
        assert KeyService(server.service(token=token)).sign_digest(DIGEST)
        token.write_text("wrong-and-secret\n")
        with pytest.raises(EffectError, match=r"it answered 400 \(AccessDeniedException\)$"):
            KeyService(server.service(token=token)).sign_digest(DIGEST)


# --- in the signer's process --------------------------------------------------------------------------------------


class OwnedBook(Book):
    """A ledger whose owner's key is in a service."""

    def __init__(self, folder: Path, server: KeyServer) -> None:
        super().__init__(folder)
        server.configure(folder)
        self.owner = server.address

    def address(self, signer: str) -> str:
        return self.owner if signer == OWNER else super().address(signer)


@pytest.fixture
def book(tmp_path: Path, server: KeyServer) -> Iterator[OwnedBook]:
    found = OwnedBook(tmp_path / "s", server)
    yield found
    found.close()


def lines(book: Book) -> list[str]:
    """What the signer says it signed."""
    return [each for each in (book.folder / "signer" / FILE_NAME).read_text().splitlines() if "digest" in each]


def test_a_funding_is_signed_there_once_and_told_the_same_ever_after(book: OwnedBook) -> None:
    gateway = Gateway(begin_signer(book.folder, book.ledger))
    try:
        run = book.run()
        decided, payment = book.moved("wallet.fund", run)
        raw = gateway.signed(decided, payment)
        assert signer_of(raw) == book.owner
        assert decode_transaction(raw)["to"] == book.address(run).lower()
        assert gateway.signed(decided, payment) == raw, "the service would sign it in another way each time"
        os.kill(gateway.process.process.pid, signal.SIGKILL)
        gateway.close()
        gateway = Gateway(begin_signer(book.folder, book.ledger))
        assert gateway.signed(decided, payment, again=True) == raw, "and the next signer knows it, too"
        sweep, home = book.moved("wallet.sweep", run)
        assert decode_transaction(gateway.signed(sweep, home))["to"] == book.owner.lower()
        assert len(lines(book)) == 2
    finally:
        gateway.close()


async def test_a_service_that_goes_away_or_changes_its_key_stops_funding_and_nothing_else(
    tmp_path: Path, short_path: Path
) -> None:
    server = await asyncio.to_thread(begin, short_path / "kms.sock")
    book = await asyncio.to_thread(OwnedBook, tmp_path, server)
    client = SignerClient(tmp_path, book.ledger)
    await asyncio.to_thread(server.stop)
    try:
        await client.start()
        assert client.owner_address == book.owner, "the address is known without the service"
        run = await asyncio.to_thread(book.run)
        funded, payment = await asyncio.to_thread(book.moved, "wallet.fund", run)
        await _not_signed(client, funded, payment, "it can't be asked")
        paid, mine = await asyncio.to_thread(book.transfer, run)
        assert await client.sign_transaction(run, mine.fields(), paid.decision), "runs pay on"
        server = await asyncio.to_thread(begin, short_path / "kms.sock", OTHER)
        await _not_signed(client, funded, payment, "of another key")
        assert len(lines(book)) == 1, "what was not signed is not written down as signed"
        assert await client.signed_before(OWNER, payment.fields(), funded.decision) is None
        await asyncio.to_thread(server.stop)
        server = await asyncio.to_thread(begin, short_path / "kms.sock")
        signed = await client.sign_transaction(OWNER, payment.fields(), funded.decision)
        assert signer_of(signed.raw_transaction) == book.owner
        assert client.restarts == 0, "the signer itself was never in doubt"
    finally:
        await client.close()
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(book.close)


async def _not_signed(client: SignerClient, decided: Any, payment: Any, why: str) -> None:
    with pytest.raises(EffectError, match=f"{why}.*nothing was signed") as caught:
        await client.sign_transaction(OWNER, payment.fields(), decided.decision)
    assert not isinstance(caught.value, SignerRefused), "that would say that somebody forged an allow"


def test_a_service_with_another_key_than_the_owner_named_starts_no_signer(tmp_path: Path, server: KeyServer) -> None:
    book = OwnedBook(tmp_path, server)
    server.configure(tmp_path, address="0x024FD7249E74Dcb0A8B6d4fE1F1E5c8C6Cb6AfeA".lower())
    gateway = Gateway(begin_signer(tmp_path, book.ledger))
    try:
        answer = gateway.ask(wire.AddressOf(OWNER))
        assert isinstance(answer, wire.No)
        assert (answer.why, server.address in answer.cause) == ("config", True)
    finally:
        gateway.close()
        book.close()


def test_what_the_key_file_signed_is_not_signed_again_by_a_service(tmp_path: Path, server: KeyServer) -> None:
    book = Book(tmp_path)
    run = book.run()
    decided, payment = book.moved("wallet.fund", run)
    gateway = Gateway(begin_signer(tmp_path, book.ledger))
    gateway.signed(decided, payment)
    gateway.close()
    server.configure(tmp_path)
    gateway = Gateway(begin_signer(tmp_path, book.ledger))
    try:
        assert gateway.refused(decided, payment) == "another_key"
        assert gateway.refused(decided, payment, again=True) == "another_key", "that it was signed is not denied"
    finally:
        gateway.close()
        book.close()
