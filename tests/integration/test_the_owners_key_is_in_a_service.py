"""A whole firewall whose owner's key is in a key service: a run is funded from there, pays, and its money goes home."""

from __future__ import annotations

import json
from pathlib import Path

from tests.attached import attached
from tests.integration.chain_nodes import CHAIN_ID, TREASURY, standin_process
from tests.integration.money import CENT, MANDATE, PAYEE
from tests.key_service import key_server
from tests.live import Chain, home_at


def test_a_run_is_funded_from_the_service_pays_and_comes_home(tmp_path: Path, short_path: Path) -> None:
    with (
        key_server(short_path / "kms.sock") as server,
        standin_process(tmp_path / "chain", server.address) as url,
        home_at(short_path / "h") as home,
    ):
        chain = Chain(url)
        server.configure(home.path)
        with attached(home, chain_url=url, chain_id=str(CHAIN_ID)) as firewall:
            run = firewall.start(MANDATE)
            assert run.address is not None
            assert chain.balance(run.address) == 100 * CENT
            shown = json.loads(home("wallet", "show", "--json").out)
            assert (shown["owner"], int(shown["balance"]) < TREASURY) == (server.address, True)
            answer = run.call("wallet.transfer", {"to": PAYEE, "amount": "0.1 ETH"})
            assert answer.status == 200, answer
            assert home("wallet", "sweep", run.name).status == 0
            assert chain.balance(run.address) < CENT, "the rest, but for what its fee could have been"
        assert chain.balance(PAYEE) == 10 * CENT
        assert TREASURY - 11 * CENT < chain.balance(server.address) < TREASURY - 10 * CENT
        home.verified()
