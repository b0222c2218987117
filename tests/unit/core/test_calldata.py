"""A call is taken apart into what it does, to the last byte, or refused with the reason."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from safebox.firewall.core.abi import function
from safebox.firewall.core.addresses import checksummed
from safebox.firewall.core.calldata import CALL_BYTES_MAX, DEPTH_MAX, LEAVES_MAX, read_call, registered
from safebox.firewall.core.leaves import Argument, Carrier, Leaf, Reading
from safebox.firewall.core.money import Amount, token_asset
from safebox.firewall.errors import CallerError
from tests.calls import BATCHER, OWN, PAYEE, PERMIT2, SHOP, THING, TOKEN, call, packed, safe, transfer

CONTRACTS = registered(
    (
        Reading(THING, "erc721"),
        Reading(SHOP, functions=("buy(uint256,address,bytes32[])", "open()")),
    )
)
AGGREGATE3 = "aggregate3((address,bool,bytes)[])"
VALUED = "aggregate3Value((address,bool,uint256,bytes)[])"


def read(data: bytes, to: str = TOKEN, value: int = 0) -> tuple[Leaf, ...]:
    return read_call(to, value, data, CONTRACTS)


def refused(data: bytes, to: str = TOKEN, value: int = 0) -> str:
    with pytest.raises(CallerError) as caught:
        read(data, to, value)
    return caught.value.code


def of(token: str, units: int) -> Amount:
    return Amount(units, token_asset(token))


def wei(units: int) -> Amount:
    return Amount(units, "ETH")


TRANSFERRED = Leaf(
    kind="token_transfer", method="transfer", standard="erc20", contract=TOKEN, other=PAYEE, amount=of(TOKEN, 5)
)


def moved(method: str, standard: Any = "erc20", token: str = TOKEN, units: int = 5, **more: Any) -> Leaf:
    return Leaf(
        kind="token_transfer", method=method, standard=standard, contract=token, other=PAYEE, amount=of(token, units),
        **more,
    )  # fmt: skip


def let(method: str, standard: Any = "erc20", token: str = TOKEN, units: int | None = 5, **more: Any) -> Leaf:
    amount = None if units is None else of(token, units)
    return Leaf(
        kind="token_approval", method=method, standard=standard, contract=token, other=PAYEE, amount=amount, **more
    )


VRS = (27, b"\x01" * 32, b"\x02" * 32)
TOKEN_CALLS: list[tuple[str, str, tuple[Any, ...], Leaf]] = [
    (TOKEN, "transfer(address,uint256)", (PAYEE, 5), TRANSFERRED),
    (TOKEN, "transferFrom(address,address,uint256)", (OWN, PAYEE, 5), moved("transfer_from", owner=OWN)),
    (
        THING, "transferFrom(address,address,uint256)", (OWN, PAYEE, 9),
        moved("transfer_from", "erc721", THING, 1, owner=OWN, token_id="9"),
    ),
    (
        THING, "safeTransferFrom(address,address,uint256)", (OWN, PAYEE, 9),
        moved("safe_transfer_from", "erc721", THING, 1, owner=OWN, token_id="9"),
    ),
    (
        THING, "safeTransferFrom(address,address,uint256,bytes)", (OWN, PAYEE, 9, b""),
        moved("safe_transfer_from", "erc721", THING, 1, owner=OWN, token_id="9"),
    ),
    (
        THING, "safeTransferFrom(address,address,uint256,uint256,bytes)", (OWN, PAYEE, 9, 3, b""),
        moved("safe_transfer_from", "erc1155", THING, 3, owner=OWN, token_id="9"),
    ),
    (TOKEN, "approve(address,uint256)", (PAYEE, 5), let("approve")),
    (THING, "approve(address,uint256)", (PAYEE, 9), let("approve", "erc721", THING, None, token_id="9")),
    (TOKEN, "increaseAllowance(address,uint256)", (PAYEE, 5), let("increase_allowance")),
    (TOKEN, "decreaseAllowance(address,uint256)", (PAYEE, 5), let("decrease_allowance")),
    (
        THING, "setApprovalForAll(address,bool)", (PAYEE, True),
        let("set_approval_for_all", "erc721", THING, None, approved=True),
    ),
    (
        TOKEN, "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)", (OWN, PAYEE, 5, 99, *VRS),
        let("permit", owner=OWN),
    ),
    (
        TOKEN, "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)",
        (OWN, PAYEE, 5, 0, 99, b"\x07" * 32, *VRS), moved("transfer_with_authorization", owner=OWN),
    ),
    (
        PERMIT2, "approve(address,address,uint160,uint48)", (TOKEN, PAYEE, 5, 99),
        let("permit2_approve", carriers=(Carrier(PERMIT2, "approve(address,address,uint160,uint48)"),)),
    ),
    (
        PERMIT2, "transferFrom(address,address,uint160,address)", (OWN, PAYEE, 5, TOKEN),
        moved(
            "permit2_transfer_from", owner=OWN,
            carriers=(Carrier(PERMIT2, "transferFrom(address,address,uint160,address)"),),
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("to", "signature", "values", "leaf"), TOKEN_CALLS)
def test_each_call_of_a_token_is_read_as_what_it_does(
    to: str, signature: str, values: tuple[Any, ...], leaf: Leaf
) -> None:
    assert read(call(signature, *values), to) == (leaf,)


def test_no_data_is_a_payment() -> None:
    assert read(b"", PAYEE, 7) == (Leaf(kind="pay", method="pay", other=PAYEE, value=wei(7)),)


def test_a_batch_of_things_is_a_leaf_for_each() -> None:
    signature = "safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)"
    leaves = read(call(signature, OWN, PAYEE, (1, 2), (3, 4), b""), THING)
    assert [(each.token_id, each.units) for each in leaves] == [("1", 3), ("2", 4)]
    assert refused(call(signature, OWN, PAYEE, (1, 2), (3,), b""), THING) == "call.batch"
    assert refused(call(signature, OWN, PAYEE, (), (), b""), THING) == "call.batch"


def test_permit2_moves_many_at_once() -> None:
    rows = [(OWN, PAYEE, 5, TOKEN), (OWN, PAYEE, 6, THING)]
    leaves = read(call("transferFrom((address,address,uint160,address)[])", rows), PERMIT2)
    assert [(each.contract, each.units, list(each.via)) for each in leaves] == [
        (TOKEN, 5, [PERMIT2]),
        (THING, 6, [PERMIT2]),
    ]


def test_a_listed_function_is_read_with_its_arguments() -> None:
    (leaf,) = read(call("buy(uint256,address,bytes32[])", 2**200, PAYEE, [b"\x01" * 32]), SHOP, 3)
    assert (leaf.kind, leaf.contract, leaf.method, leaf.value) == (
        "call",
        SHOP,
        "buy(uint256,address,bytes32[])",
        wei(3),
    )
    assert leaf.arguments == (
        Argument("uint256", str(2**200)),
        Argument("address", PAYEE),
        Argument("bytes32[]", f'["0x{"01" * 32}"]'),
    )
    assert leaf.addresses == (PAYEE,)


PAY = (PAYEE, 7, b"")
MOVE = (TOKEN, 0, transfer())
BATCHES = {
    "multicall": (call("multicall(bytes[])", [transfer()]), TOKEN, 0),
    "multicall with a deadline": (call("multicall(uint256,bytes[])", 99, [transfer()]), TOKEN, 0),
    "aggregate": (call("aggregate((address,bytes)[])", [(TOKEN, transfer())]), BATCHER, 0),
    "tryAggregate": (call("tryAggregate(bool,(address,bytes)[])", True, [(TOKEN, transfer())]), BATCHER, 0),
    "aggregate3": (call(AGGREGATE3, [(TOKEN, False, transfer())]), BATCHER, 0),
    "aggregate3Value": (
        call(VALUED, [(TOKEN, False, 0, transfer()), (PAYEE, True, 7, b"")]), BATCHER, 7,
    ),
    "multiSend": (call("multiSend(bytes)", packed(MOVE, PAY)), BATCHER, 7),
    "execute": (call("execute(address,uint256,bytes)", *MOVE), BATCHER, 0),
    "execute with an operation": (call("execute(address,uint256,bytes,uint8)", *MOVE, 0), BATCHER, 0),
    "executeBatch": (call("executeBatch((address,uint256,bytes)[])", [MOVE, PAY]), BATCHER, 0),
    "executeBatch of two lists": (
        call("executeBatch(address[],bytes[])", [TOKEN], [transfer()]), BATCHER, 0,
    ),
    "executeBatch of three lists": (
        call("executeBatch(address[],uint256[],bytes[])", [TOKEN, PAYEE], [0, 7], [transfer(), b""]),
        BATCHER, 7,
    ),
    "ERC-7579, one": (
        call("execute(bytes32,bytes)", bytes(32), bytes.fromhex(TOKEN[2:]) + bytes(32) + transfer()),
        BATCHER, 0,
    ),
    "ERC-7579, several": (
        call(
            "execute(bytes32,bytes)", b"\x01\x01" + bytes(30),
            call("f((address,uint256,bytes)[])", [MOVE, PAY])[4:],
        ),
        BATCHER, 0,
    ),
    "a Safe": (safe(*MOVE), BATCHER, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", BATCHES)
def test_every_batch_is_taken_apart(name: str) -> None:
    data, to, value = BATCHES[name]
    first, *rest = read(data, to, value)
    (carrier,) = first.carriers
    assert (carrier.address, function(carrier.method).selector) == (to, data[:4])
    assert (first.kind, first.contract, first.other, first.units) == ("token_transfer", TOKEN, PAYEE, 5)
    assert [(each.kind, each.other, each.value, each.carriers) for each in rest] in (
        [],
        [("pay", PAYEE, wei(7), (carrier,))],
    )


def test_batches_in_batches_say_who_carries_them_out() -> None:
    inner = call("multiSend(bytes)", packed((THING, 0, call("multicall(bytes[])", [transfer()]))))
    (leaf,) = read(safe(BATCHER, 0, inner), OWN)
    assert [(each.address, each.method.partition("(")[0]) for each in leaf.carriers] == [
        (OWN, "execTransaction"),
        (BATCHER, "multiSend"),
        (THING, "multicall"),
    ]
    assert leaf.contract == THING


def inmost(leaf: Leaf) -> Leaf:
    return msgspec.structs.replace(leaf, carriers=())


def nested(depth: int) -> bytes:
    data = transfer()
    for _ in range(depth):
        data = call("multicall(bytes[])", [data])
    return data


def test_depth_number_and_bytes_are_bounded() -> None:
    (leaf,) = read(nested(DEPTH_MAX))
    assert (inmost(leaf), len(leaf.carriers)) == (TRANSFERRED, DEPTH_MAX)
    assert refused(nested(DEPTH_MAX + 1)) == "call.too_deep"
    assert len(read(call("multicall(bytes[])", [transfer()] * LEAVES_MAX))) == LEAVES_MAX
    assert refused(call("multicall(bytes[])", [transfer()] * (LEAVES_MAX + 1))) == "call.too_many"
    half = call("multicall(bytes[])", [transfer()] * (LEAVES_MAX // 2 + 1))
    assert refused(call("multicall(bytes[])", [half, half])) == "call.too_many"
    many = call("safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)", OWN, PAYEE, [1] * 33, [1] * 33, b"")
    assert refused(many, THING) == "call.too_many"
    assert refused(bytes(CALL_BYTES_MAX + 1)) == "request.too_large"


REFUSED: list[tuple[str, bytes, str, int, str]] = [
    ("one byte", b"\xa9", TOKEN, 0, "call.cut_short"),
    ("three bytes", transfer()[:3], TOKEN, 0, "call.cut_short"),
    ("a selector alone", transfer()[:4], TOKEN, 0, "call.cut_short"),
    ("an unknown selector", b"\xde\xad\xbe\xef", TOKEN, 0, "call.unknown_function"),
    ("an unknown selector on a listed contract", call("close()"), SHOP, 0, "call.unknown_function"),
    ("a listed function on another contract", call("open()"), TOKEN, 0, "call.unknown_function"),
    ("the fallback's empty selector", bytes(4), SHOP, 0, "call.unknown_function"),
    ("DAI's permit", call("permit(address,address,uint256,uint256,bool,uint8,bytes32,bytes32)",
                          OWN, PAYEE, 0, 9, True, *VRS), TOKEN, 0, "call.unknown_function"),
    ("a CREATE2 factory", call("deploy(uint256,bytes32,bytes)", 0, bytes(32), b"\x60"), BATCHER, 0,
     "call.unknown_function"),
    ("bytes left over", transfer() + b"\0", TOKEN, 0, "call.left_over"),
    ("bytes left over inside a batch", call("multicall(bytes[])", [transfer() + b"\0"]), TOKEN, 0, "call.left_over"),
    ("an address with more", transfer()[:4] + b"\1" + transfer()[5:], TOKEN, 0, "call.padding"),
    ("ether with a token's transfer", transfer(), TOKEN, 1, "call.value_unaccounted"),
    ("ether with a multicall", call("multicall(bytes[])", [transfer()]), TOKEN, 1, "call.value_unaccounted"),
    ("ether that stays in the batcher", call(VALUED, [(PAYEE, True, 7, b"")]), BATCHER, 8, "call.value_unaccounted"),
    ("ether that was there before", call(VALUED, [(PAYEE, True, 7, b"")]), BATCHER, 0, "call.value_unaccounted"),
    ("ether that an account keeps", call("execute(address,uint256,bytes)", *PAY), BATCHER, 8, "call.value_unaccounted"),
    ("ether beyond 256 bit", call("executeBatch((address,uint256,bytes)[])", [(PAYEE, 2**256 - 1, b"")] * 2),
     BATCHER, 1, "call.value_unaccounted"),
    ("an empty batch", call("multicall(bytes[])", []), TOKEN, 0, "call.batch"),
    ("an empty packed batch", call("multiSend(bytes)", b""), BATCHER, 0, "call.batch"),
    ("a packed batch cut short", call("multiSend(bytes)", packed(MOVE)[:-1]), BATCHER, 0, "call.cut_short"),
    ("a packed batch with dirt", call("multiSend(bytes)", packed(MOVE) + b"\0"), BATCHER, 0, "call.cut_short"),
    ("a delegatecall in a packed batch", call("multiSend(bytes)", packed(MOVE, operation=1)), BATCHER, 0,
     "call.delegatecall"),
    ("a Safe's delegatecall", safe(*MOVE, operation=1), BATCHER, 0, "call.delegatecall"),
    ("a Safe's operation 2", safe(*MOVE, operation=2), BATCHER, 0, "call.batch"),
    ("a Safe that pays for its gas", safe(*MOVE, gas_price=1), BATCHER, 0, "call.batch"),
    ("ERC-6551's delegatecall", call("execute(address,uint256,bytes,uint8)", *MOVE, 1), BATCHER, 0,
     "call.delegatecall"),
    ("ERC-6551's creation", call("execute(address,uint256,bytes,uint8)", *MOVE, 2), BATCHER, 0, "call.batch"),
    ("ERC-7579's delegatecall", call("execute(bytes32,bytes)", b"\xff" + bytes(31), b""), BATCHER, 0,
     "call.delegatecall"),
    ("ERC-7579's static call", call("execute(bytes32,bytes)", b"\xfe" + bytes(31), b""), BATCHER, 0, "call.batch"),
    ("ERC-7579 with a mode of its own", call("execute(bytes32,bytes)", b"\0\0\0\0\0\0\1" + bytes(25), b""), BATCHER, 0,
     "call.batch"),
    ("ERC-7579 cut short", call("execute(bytes32,bytes)", bytes(32), bytes(51)), BATCHER, 0, "call.cut_short"),
    ("lists of different lengths", call("executeBatch(address[],bytes[])", [TOKEN], []), BATCHER, 0, "call.batch"),
    ("a payload with a thing", call("safeTransferFrom(address,address,uint256,bytes)", OWN, PAYEE, 1, b"hi"), THING, 0,
     "call.payload"),
    ("an unknown call deep inside", safe(BATCHER, 0, call(AGGREGATE3, [(SHOP, True, b"\1\2\3\4")])), OWN, 0,
     "call.unknown_function"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "to", "value", "code"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED]
)
def test_what_cannot_be_said_is_refused_with_the_reason(data: bytes, to: str, value: int, code: str) -> None:
    assert refused(data, to, value) == code


def test_no_list_makes_a_known_call_something_else() -> None:
    """Anybody finds a name with a given selector; a listed one gives a token's transfer no other meaning."""
    for listed in ("many_msg_babbage(bytes1)", "transfer(address,uint256)"):
        liar = registered((Reading(TOKEN, functions=(listed,)),))
        assert read_call(TOKEN, 0, transfer(), liar) == (TRANSFERRED,)


def test_two_functions_with_one_selector_and_a_contract_listed_twice_are_refused() -> None:
    with pytest.raises(CallerError, match="one selector"):
        registered((Reading(SHOP, functions=("collate_propagate_storage(bytes16)", "burn(uint256)")),))
    with pytest.raises(CallerError, match="two ways"):
        registered((Reading(SHOP), Reading(SHOP, "erc721")))


def test_amounts_are_exact_to_the_last_unit() -> None:
    for units in (2**53 + 1, 2**64 + 1, 2**256 - 1):
        assert read(transfer(units))[0].units == units


def test_addresses_are_said_with_their_checksum() -> None:
    to = checksummed(bytes.fromhex("d8da6bf26964af9d7eed9e03e53415d37aa96045"))
    assert read(transfer(to=to))[0].other == "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"
