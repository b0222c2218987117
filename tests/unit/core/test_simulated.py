"""Logs of every standard are read to the last byte, and what nobody said is more."""

from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.core.leaves import Carrier, Leaf
from safebox.firewall.core.money import Amount, token_asset
from safebox.firewall.core.simulated import LOGS_MAX, PLAIN, TOLD_MAX, Log, Move, Simulated, moves, said, unexplained

WALLET, OTHER, TOKEN = (f"0x{digit * 40}" for digit in ("1", "2", "3"))
ZERO = "0x" + "00" * 20


def _word(value: str | int) -> bytes:
    return value.to_bytes(32) if isinstance(value, int) else bytes.fromhex(value[2:]).rjust(32, b"\0")


def _log(signature: str, indexed: tuple[str | int, ...], data: bytes = b"", writer: str = TOKEN) -> Log:
    return Log(writer, (keccak(text=signature), *map(_word, indexed)), data)


def _transfer(units: int = 5, sender: str = WALLET) -> Log:
    return _log("Transfer(address,address,uint256)", (sender, OTHER), _word(units))


SINGLE = "TransferSingle(address,address,address,uint256,uint256)"
BATCH = "TransferBatch(address,address,address,uint256[],uint256[])"


def move(kind: Any, units: int, token_id: int | None = None, other: str | None = OTHER) -> Move:
    return Move(kind=kind, contract=TOKEN, other=other, units=units, token_id=token_id)


@pytest.mark.parametrize(
    ("log", "found"),
    [
        (_transfer(), [move("token", 5)]),
        (_transfer(sender=OTHER), []),
        (_log("Transfer(address,address,uint256)", (WALLET, OTHER, 9)), [move("collectible", 1, 9)]),
        (_log("Transfer(address,address,uint256)", (), _word(WALLET) + _word(OTHER) + _word(5)), [move("token", 5)]),
        (_log("Approval(address,address,uint256)", (WALLET, OTHER), _word(7)), [move("allowance", 7)]),
        (_log("Approval(address,address,uint256)", (WALLET, OTHER, 9)), [move("allowance", 1, 9)]),
        (_log("Approval(address,address,uint256)", (WALLET, ZERO, 9)), [move("allowance", 0, 9, ZERO)]),
        (_log("ApprovalForAll(address,address,bool)", (WALLET, OTHER), _word(1)), [move("operator", 1)]),
        (_log("ApprovalForAll(address,address,bool)", (OTHER, WALLET), _word(1)), []),
        (_log(SINGLE, (OTHER, WALLET, OTHER), _word(9) + _word(4)), [move("collectible", 4, 9)]),
        (_log(SINGLE, (WALLET, OTHER, OTHER), _word(9) + _word(4)), []),
        (
            _log(BATCH, (OTHER, WALLET, OTHER), encode(["uint256[]", "uint256[]"], [[8, 9], [1, 2]])),
            [move("collectible", 1, 8), move("collectible", 2, 9)],
        ),
        (_log("Deposit(address)", (WALLET,)), []),
        (Log(TOKEN, (), b""), []),
    ],
)
def test_a_log_is_read_as_its_standard_writes_it(log: Log, found: list[Move]) -> None:
    assert moves([log], WALLET) == found


def test_native_money_is_told_under_its_own_name() -> None:
    log = _log("Transfer(address,address,uint256)", (WALLET, OTHER), _word(3), writer="0x" + "ee" * 20)
    assert moves([log], WALLET) == [Move(kind="native", contract=None, other=OTHER, units=3)]


def test_of_several_approvals_the_last_one_stands() -> None:
    approvals = [_log("Approval(address,address,uint256)", (WALLET, OTHER), _word(units)) for units in (9, 4)]
    assert moves(approvals, WALLET) == [move("allowance", 4)]


@pytest.mark.parametrize(
    "log",
    [
        _log("Transfer(address,address,uint256)", (WALLET, OTHER)),
        _log("Transfer(address,address,uint256)", (WALLET, OTHER), _word(5) + b"\0"),
        _log("Approval(address,address,uint256)", (WALLET,), b""),
        _log(SINGLE, (OTHER, WALLET, OTHER), _word(9)),
        _log(BATCH, (OTHER, WALLET, OTHER), _word(64) + _word(2**200)),
        _log(BATCH, (OTHER, WALLET, OTHER), _word(64) + _word(64) + _word(2**200)),
        _log(BATCH, (OTHER, WALLET, OTHER), encode(["uint256[]", "uint256[]"], [[8, 9], [1]])),
        Log(TOKEN, (keccak(text="Transfer(address,address,uint256)"), b"\1"), b"\0" * 95),
    ],
)
def test_a_log_of_another_shape_than_its_event_is_refused(log: Log) -> None:
    with pytest.raises(ValueError, match=r"simulation|shorter|longer"):
        moves([log], WALLET)


def test_more_logs_than_anybody_reads_are_refused() -> None:
    with pytest.raises(ValueError, match="more than"):
        moves([_transfer()] * (LOGS_MAX + 1), WALLET)


@given(st.lists(st.integers(0, 9), max_size=6), st.lists(st.integers(0, 9), max_size=6))
def test_what_was_said_explains_just_as_much(done: list[int], told: list[int]) -> None:
    more = unexplained([move("token", units) for units in done], [move("token", units) for units in told])
    over = sum(done) - sum(told)
    assert more == ([move("token", over)] if over > 0 else [])


def test_what_goes_to_somebody_else_or_is_another_thing_is_not_explained() -> None:
    said_ = [move("token", 5), move("collectible", 1, 9)]
    assert unexplained([move("token", 1, other=WALLET)], said_) == [move("token", 1, other=WALLET)]
    assert unexplained([move("collectible", 1, 8)], said_) == [move("collectible", 1, 8)]
    assert unexplained([move("allowance", 1)], said_) == [move("allowance", 1)]


def test_a_balance_that_falls_by_more_than_the_logs_say_is_more() -> None:
    assert unexplained([move("token", 5)], [move("token", 5)], {TOKEN: 5}) == []
    assert unexplained([move("token", 5)], [move("token", 5)], {TOKEN: 7}) == [move("token", 2, other=None)]


def test_policy_is_told_a_few_of_them_and_what_is_not_known_is_null() -> None:
    many = tuple(move("collectible", 1, number) for number in range(100))
    facts = Simulated(by="trace", reverts=False, found=many).facts([])
    assert len(facts["more"]) == TOLD_MAX
    assert Simulated(by=None).facts([]) == {"by": None, "reverts": None, "reason": None, "more": None}
    assert PLAIN.facts([]) == {"by": "no_code", "reverts": False, "reason": None, "more": []}


def _leaf(kind: Any, method: str, units: int | None = None, **more: Any) -> Leaf:
    amount = None if units is None else Amount(units, token_asset(TOKEN))
    fields: dict[str, Any] = {"contract": TOKEN, "other": OTHER, "standard": "erc20", **more}
    return Leaf(kind=kind, method=method, amount=amount, **fields)


@pytest.mark.parametrize(
    ("leaf", "found"),
    [
        (_leaf("token_transfer", "transfer", 5), [move("token", 5)]),
        (_leaf("token_transfer", "transfer_from", 5, owner=OTHER), []),
        (
            _leaf("token_transfer", "transfer_from", 5, owner=WALLET, carriers=(Carrier(OTHER, "multiSend(bytes)"),)),
            [move("token", 5)],
        ),
        (_leaf("token_transfer", "transfer", 5, carriers=(Carrier(OTHER, "multiSend(bytes)"),)), []),
        (
            _leaf("token_transfer", "safe_transfer_from", 1, standard="erc721", token_id="9"),
            [move("collectible", 1, 9)],
        ),
        (_leaf("token_approval", "approve", 5), [move("allowance", 5)]),
        (
            _leaf("token_approval", "permit", 5, owner=WALLET, carriers=(Carrier(OTHER, "multiSend(bytes)"),)),
            [move("allowance", 5)],
        ),
        (_leaf("token_approval", "increase_allowance", 5), [move("allowance", 2**256 - 1)]),
        (_leaf("token_approval", "approve", standard="erc721", token_id="9"), [move("allowance", 1, 9)]),
        (_leaf("token_approval", "set_approval_for_all", approved=True), [move("operator", 1)]),
        (_leaf("token_approval", "set_approval_for_all", approved=False), [move("operator", 0)]),
        (_leaf("call", "claim()"), []),
    ],
)
def test_a_leaf_explains_what_leaves_this_wallet_by_it(leaf: Leaf, found: list[Move]) -> None:
    assert said([leaf], WALLET) == found


def test_the_money_that_goes_along_goes_to_whoever_is_called_first() -> None:
    through = (Carrier(TOKEN, "multiSend(bytes)"),)
    pay = Leaf(kind="pay", method="pay", other=OTHER, value=Amount(3, "ETH"), carriers=through)
    assert said([pay], WALLET) == [Move(kind="native", contract=None, other=TOKEN, units=3)]
