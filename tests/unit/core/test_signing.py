"""Approvals and signatures: what can't be read in one way is refused, and what is read is said in full."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from safebox.firewall.core.action import canonical
from safebox.firewall.core.mandate import Mandate, Named, SigningGrant, TokenGrant, WalletGrant
from safebox.firewall.core.money import UNITS_MAX, Amount, pad, token_asset
from safebox.firewall.core.signature import FOREVER_S, signature_facts, spender_facts, token_facts
from safebox.firewall.core.signing import SignMessage, SignTypedData
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.errors import CallerError
from tests.unit.core.asked import PERMIT, TOKEN

OWN = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
ROUTER = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
PAYEE = "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB"
STRANGER = "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb"
TIPS = "0x52908400098527886E0F7030069857D2E4169EE7"
PERMIT2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3"
NOW = 1_790_000_000
ASSET = token_asset(TOKEN)
MANDATE = Mandate(
    agent="a",
    purpose="p",
    task_digest="sha256:0",
    expires="2099-01-01T00:00:00Z",
    wallet=WalletGrant(
        chain="dev",
        chain_id=31337,
        budget=Amount(1, "ETH"),
        per_transfer=Amount(1, "ETH"),
        ceiling=None,
        max_fee_per_gas=None,
        payees={"acme": PAYEE},
    ),
    tokens=(
        TokenGrant(
            name="USDC",
            address=TOKEN,
            decimals=6,
            budget=Amount(10**8, ASSET),
            per_approval=Amount(10**7, ASSET),
            payees=(Named(name="acme", address=PAYEE),),
            spenders=(Named(name="router", address=ROUTER),),
        ),
        TokenGrant(
            name="TIPS",
            address=TIPS,
            decimals=6,
            budget=Amount(10**8, token_asset(TIPS)),
            per_approval=Amount(10**7, token_asset(TIPS)),
            spenders=(),
        ),
    ),
    signing=SigningGrant(
        domains=("app.example.org",), messages=("I accept order {number}", "Session {word} at {time}")
    ),
)
APPROVAL = {"token": TOKEN.lower(), "spender": ROUTER, "standard": "erc20", "method": "approve", "amount": "5"}


def approve(**changes: Any) -> Any:
    return TOOLS["wallet.approve"].parse({key: value for key, value in (APPROVAL | changes).items() if value != ""})


def typed(**changes: Any) -> SignTypedData:
    found = TOOLS["wallet.sign_typed_data"].parse(PERMIT | changes)
    assert isinstance(found, SignTypedData)
    return found


def message(content: bytes, method: str = "personal_sign") -> SignMessage:
    found = TOOLS["wallet.sign_message"].parse({"message": "0x" + content.hex(), "method": method})
    assert isinstance(found, SignMessage)
    return found


def told(args: SignTypedData | SignMessage, contracts: dict[str, bool | None] | None = None) -> dict[str, Any]:
    facts = signature_facts(args, MANDATE, OWN, contracts or {}, NOW)
    found: dict[str, Any] = msgspec.json.decode(canonical(facts))
    return found


def struct(*members: str) -> list[dict[str, str]]:
    return [{"type": each.split()[0], "name": each.split()[1]} for each in members]


# --- approvals --------------------------------------------------------------------------------------------------


def test_an_approval_is_an_amount_of_the_token_itself() -> None:
    found = approve()
    assert (found.token, found.amount) == (TOKEN, Amount(5, ASSET))
    assert approve(amount=str(UNITS_MAX)).amount.units == UNITS_MAX


@pytest.mark.parametrize("amount", ["", "-1", "1.0", "1e18", "01", " 1", "0x1", "1 USDC", str(UNITS_MAX + 1), "٣"])
def test_an_amount_that_is_no_whole_number_of_units_is_refused(amount: str) -> None:
    with pytest.raises(CallerError):
        approve(amount=amount)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "set_approval_for_all", "approved": True},
        {"standard": "erc1155"},
        {"standard": "erc721"},
        {"standard": "erc721", "amount": "", "method": "approve"},
        {"standard": "erc721", "amount": "", "method": "set_approval_for_all"},
        {"standard": "erc721", "amount": "", "method": "increase_allowance"},
        {"standard": "erc1155", "amount": "", "method": "set_approval_for_all", "approved": False, "token_id": "1"},
        {"approved": True},
        {"token_id": "1"},
        {"token": TOKEN.replace("A", "a", 1)},
        {"spender": "router.eth"},
    ],
)
def test_a_call_has_what_its_standard_says_and_nothing_else(changes: dict[str, Any]) -> None:
    with pytest.raises(CallerError):
        approve(**changes)


def test_a_token_has_the_owners_name_and_decimals_and_a_spender_is_listed_for_it_alone() -> None:
    assert token_facts(TOKEN, MANDATE, {TOKEN: True}) == {
        "address": TOKEN, "name": "USDC", "listed": True, "decimals": 6, "standard": "erc20", "is_contract": True,
    }  # fmt: skip
    other = token_facts(STRANGER, MANDATE, {})
    assert (other["listed"], other["decimals"], other["is_contract"]) == (False, None, None)
    assert spender_facts(ROUTER, TOKEN, MANDATE, OWN, {})["listed"]
    assert not spender_facts(ROUTER, STRANGER, MANDATE, OWN, {})["listed"]
    assert not spender_facts(PAYEE, TOKEN, MANDATE, OWN, {})["listed"], "whom one pays is not whom one lets take"
    assert spender_facts(PAYEE, TOKEN, MANDATE, OWN, {}, role="payee")["listed"]
    assert not spender_facts(PAYEE, TIPS, MANDATE, OWN, {}, role="payee")["listed"], "it is paid in ether only"
    assert spender_facts(OWN, TOKEN, MANDATE, OWN, {})["self"]


def test_a_spender_that_imitates_another_is_named() -> None:
    near = ROUTER[:6].lower() + "0" * 32 + ROUTER[-4:].lower()
    assert spender_facts(near, TOKEN, MANDATE, OWN, {})["lookalike"] == "router"


# --- typed data -------------------------------------------------------------------------------------------------


def test_a_permit_is_said_in_full() -> None:
    facts = told(typed(message=PERMIT["message"] | {"owner": OWN, "spender": ROUTER, "value": 5}), {ROUTER: True})
    assert (facts["standard"], facts["chain_id"], facts["contract"], facts["signer_self"]) == (
        "eip2612", 31337, TOKEN, True,
    )  # fmt: skip
    (taking,) = facts["takings"]
    assert taking["spender"] | {"lookalike": None} == {
        "address": ROUTER, "name": "router", "listed": True, "lookalike": None, "is_contract": True, "self": False,
    }  # fmt: skip
    assert taking["amount"] == {"asset": ASSET, "units": pad(5)}
    assert facts["totals"] == [{"asset": ASSET, "units": pad(5)}]
    assert facts["valid_s"] == 1_800_000_000 - NOW


def test_a_permit_that_never_ends_or_has_ended_says_so() -> None:
    assert told(typed(message=PERMIT["message"] | {"deadline": UNITS_MAX}))["valid_s"] == FOREVER_S
    assert told(typed(message=PERMIT["message"] | {"deadline": NOW - 1}))["valid_s"] == 0


DETAILS = struct("address token", "uint160 amount", "uint48 expiration", "uint48 nonce")
PERMISSIONS = struct("address token", "uint256 amount")


def permit2(primary: str, types: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    domain = {"name": "Permit2", "chainId": "0x7a69", "verifyingContract": PERMIT2}
    return told(typed(types=types, primaryType=primary, domain=domain, message=content))


def detail(amount: int, expiration: int = NOW + 60) -> dict[str, Any]:
    return {"token": TOKEN, "amount": amount, "expiration": expiration, "nonce": 0}


def test_a_batch_is_summed_by_token_and_ends_with_its_last_part() -> None:
    types = {
        "PermitBatch": struct("PermitDetails[] details", "address spender", "uint256 sigDeadline"),
        "PermitDetails": DETAILS,
    }
    content = {"details": [detail(2), detail(3, NOW + 900)], "spender": ROUTER, "sigDeadline": NOW + 5}
    facts = permit2("PermitBatch", types, content)
    assert (facts["standard"], facts["contract"], facts["chain_id"]) == ("permit2_batch", PERMIT2, 31337)
    assert facts["totals"] == [{"asset": ASSET, "units": pad(5)}]
    assert (len(facts["takings"]), facts["valid_s"]) == (2, 900)
    single = {**types, "PermitSingle": struct("PermitDetails details", "address spender", "uint256 sigDeadline")}
    del single["PermitBatch"]
    found = permit2("PermitSingle", single, content | {"details": detail(2)})
    assert (found["standard"], found["valid_s"]) == ("permit2_single", 60)


def test_a_witness_changes_nothing_of_what_is_taken() -> None:
    plain = struct("TokenPermissions permitted", "address spender", "uint256 nonce", "uint256 deadline")
    content = {"permitted": {"token": TOKEN, "amount": 7}, "spender": ROUTER, "nonce": 1, "deadline": NOW + 9}
    types: dict[str, Any] = {"PermitTransferFrom": plain, "TokenPermissions": PERMISSIONS}
    assert permit2("PermitTransferFrom", types, content)["standard"] == "permit2_transfer"
    witnessed = {
        "PermitWitnessTransferFrom": [*plain, *struct("Order witness")],
        "TokenPermissions": PERMISSIONS,
        "Order": struct("string what"),
    }
    found = permit2("PermitWitnessTransferFrom", witnessed, content | {"witness": {"what": "x"}})
    assert (found["standard"], found["totals"][0]["units"]) == ("permit2_witness", pad(7))
    other = witnessed | {"PermitWitnessTransferFrom": [*plain, *struct("Order order")]}
    found = permit2("PermitWitnessTransferFrom", other, content | {"order": {"what": "x"}})
    assert (found["standard"], found["takings"]) == ("unknown", [])


def test_an_authorised_transfer_pays_somebody_at_once() -> None:
    members = struct(
        "address from", "address to", "uint256 value", "uint256 validAfter", "uint256 validBefore", "bytes32 nonce"
    )
    content = {
        "from": OWN,
        "to": PAYEE,
        "value": "9",
        "validAfter": 0,
        "validBefore": NOW + 7,
        "nonce": "0x" + "00" * 32,
    }
    for name in ("TransferWithAuthorization", "ReceiveWithAuthorization"):
        facts = told(typed(types={name: members}, primaryType=name, message=content))
        assert (facts["standard"], facts["takings"][0]["role"], facts["valid_s"]) == ("eip3009", "payee", 7)
        assert facts["takings"][0]["spender"]["listed"]


DAI = struct("address holder", "address spender", "uint256 nonce", "uint256 expiry", "bool allowed")


@pytest.mark.parametrize(
    ("name", "members", "content", "standard"),
    [
        ("Permit", DAI, {"holder": OWN, "spender": OWN, "nonce": 0, "expiry": 0, "allowed": True}, "dai_permit"),
        ("Permit", struct("address spender"), {"spender": OWN}, "unknown"),
        ("OrderComponents", struct("address offerer"), {"offerer": OWN}, "seaport"),
        ("SafeTx", struct("address to"), {"to": OWN}, "safe"),
        ("ForwardRequest", struct("address from"), {"from": OWN}, "erc2771"),
        ("PackedUserOperation", struct("address sender"), {"sender": OWN}, "erc4337"),
        ("Delegation", struct("address delegate"), {"delegate": OWN}, "erc7710"),
        ("Mail", struct("string contents"), {"contents": "hello"}, "unknown"),
    ],
)
def test_what_is_no_known_permit_takes_nothing_that_could_be_allowed(
    name: str, members: Any, content: Any, standard: str
) -> None:
    facts = told(typed(types={name: members}, primaryType=name, message=content))
    assert (facts["standard"], facts["takings"], facts["totals"], facts["valid_s"]) == (standard, [], [], None)


@pytest.mark.parametrize(
    "change",
    [
        {"message": PERMIT["message"] | {"more": 1}},
        {"message": {key: value for key, value in PERMIT["message"].items() if key != "nonce"}},
        {"message": PERMIT["message"] | {"value": -1}},
        {"message": PERMIT["message"] | {"value": "1e18"}},
        {"message": PERMIT["message"] | {"value": "007"}},
        {"message": PERMIT["message"] | {"value": True}},
        {"message": PERMIT["message"] | {"value": str(UNITS_MAX + 1)}},
        {"message": PERMIT["message"] | {"spender": "router.eth"}},
        {"message": PERMIT["message"] | {"spender": ROUTER.swapcase().replace("X", "x")}},
        {"primaryType": "Other"},
        {"types": {"Permit": [*PERMIT["types"]["Permit"], {"name": "owner", "type": "address"}]}},
        {"types": {"Permit": struct("nothing owner")}, "message": {"owner": OWN}},
        {"types": {"Permit": struct("uint7 n")}, "message": {"n": 1}},
        {"types": {"Permit": struct("bytes4 n")}, "message": {"n": "0x00"}},
        {"types": {"Permit": struct("uint8[2] n")}, "message": {"n": [1]}},
        {"domain": PERMIT["domain"] | {"more": "x"}},
        {"types": PERMIT["types"] | {"EIP712Domain": struct("string name")}},
        {"types": PERMIT["types"] | {"EIP712Domain": struct("string chainId")}, "domain": {"chainId": "1"}},
        {"types": {f"T{number}": [] for number in range(40)} | PERMIT["types"]},
    ],
)
def test_typed_data_that_does_not_fit_its_types_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CallerError):
        typed(**change)


def test_a_type_that_refers_to_itself_ends() -> None:
    types = {"Node": struct("Node[] below", "uint8 n")}
    facts = told(typed(types=types, primaryType="Node", message={"below": [{"below": [], "n": 1}], "n": 2}))
    assert facts["standard"] == "unknown"


def test_a_domain_without_a_chain_or_with_one_too_large_has_none() -> None:
    assert told(typed(domain={"verifyingContract": TOKEN}))["chain_id"] is None
    assert told(typed(domain=PERMIT["domain"] | {"chainId": 2**60}))["chain_id"] is None


def test_numbers_are_kept_as_text_and_read_back_the_same() -> None:
    found = typed()
    assert '"value":"' + str(UNITS_MAX) in found.typed_data
    assert found.parsed().message["value"] == str(UNITS_MAX)
    assert TOOLS["wallet.sign_typed_data"].recall(msgspec.to_builtins(found)) == found


# --- messages ---------------------------------------------------------------------------------------------------

TRANSACTION = bytes.fromhex(
    "ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080"
)
"""The unsigned example of EIP-155."""


@pytest.mark.parametrize(
    ("content", "standard"),
    [
        (b"\x00" * 32, "digest"),
        (b"a" * 32, "digest"),
        (("0x" + "ab" * 32).encode(), "digest"),
        (("AB" * 32).encode(), "digest"),
        (b"\x19\x01" + b"\x00" * 64, "prefixed"),
        (b"\x19Ethereum Signed Message:\n6hello!", "prefixed"),
        (b"0x1901" + b"00" * 64, "prefixed"),
        (TRANSACTION, "transaction"),
        (TRANSACTION.hex().encode(), "transaction"),
        (("0x" + TRANSACTION.hex() + "\n").encode(), "transaction"),
        (b"\x02" + TRANSACTION, "transaction"),
        (b"\xff\xfe", "binary"),
        (b"", "binary"),
        (b"hello\x00", "binary"),
        ("pay\u202e1000".encode(), "binary"),
        ("h\u200bi".encode(), "binary"),
        (b"I accept order 7", "text"),
        ("Grüße, Zoë".encode(), "text"),
        (TRANSACTION[:-1], "binary"),
        (b"app.example.org wants you to sign in with your Ethereum account:", "sign_in"),
        (b"x Wants  you to\nsign in with your ETHEREUM account", "sign_in"),
    ],
)
def test_what_acts_is_told_from_what_is_read(content: bytes, standard: str) -> None:
    assert told(message(content))["standard"] == standard


@pytest.mark.parametrize("raw", ["hello", "0x0", "0xzz", "", "0x" + "00" * 262_145])
def test_a_message_is_its_bytes_in_hexadecimal(raw: str) -> None:
    with pytest.raises(CallerError):
        TOOLS["wallet.sign_message"].parse({"message": raw})


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        ("I accept order 7", True),
        ("I accept order 00000000000000000000", True),
        ("I accept order 000000000000000000000", False),
        ("I accept order ", False),
        ("I accept order 7 and pay 1000 ETH", False),
        ("I accept order seven", False),
        ("I accept order 7\n", False),
        ("i accept order 7", False),
        ("I accept order ٣", False),
        ("Session ab_C-9 at 2026-01-01T00:00:00Z", True),
        ("Session a b at 2026-01-01T00:00:00Z", False),
        ("Session x at noon", False),
        ("anything", False),
    ],
)
def test_a_text_is_listed_letter_by_letter_but_for_its_places(text: str, listed: bool) -> None:
    assert told(message(text.encode()))["message_listed"] is listed


SIGN_IN = f"""app.example.org wants you to sign in with your Ethereum account:
{OWN}

I accept the terms.

URI: https://app.example.org/login
Version: 1
Chain ID: 31337
Nonce: 32891756abc
Issued At: 2026-01-01T00:00:00Z"""


def test_a_sign_in_says_its_domain() -> None:
    facts = told(message(SIGN_IN.encode()))
    assert (facts["domain"], facts["domain_listed"], facts["chain_id"], facts["signer_self"]) == (
        "app.example.org", True, 31337, True,
    )  # fmt: skip
    whole = SIGN_IN + "\nExpiration Time: 2026-01-02T00:00:00Z\nResources:\n- https://app.example.org/a"
    assert told(message(whole.encode()))["domain_listed"] is True
    bare = SIGN_IN.replace("I accept the terms.\n\n", "\n")
    assert told(message(bare.encode()))["domain_listed"] is True


@pytest.mark.parametrize(
    ("old", "new", "field", "value"),
    [
        ("app.example.org wants", "evil.example wants", "domain", None),
        ("https://app.example.org/login", "https://evil.example/login", "domain", None),
        ("https://app.example.org/login", "https://app.example.org@evil.example/", "domain", None),
        ("app.example.org", "evil.example", "domain_listed", False),
        (OWN, ROUTER, "signer_self", False),
        (OWN, OWN.lower(), "signer_self", False),
        ("Chain ID: 31337", "Chain ID: 1", "chain_id", 1),
        ("Version: 1", "Version: 2", "domain", None),
        ("Nonce: 32891756abc", "Nonce: 1", "domain", None),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z\nAnd pay 1000 ETH", "domain", None),
        ("I accept the terms.", "I accept\nthe terms.", "domain", None),
    ],
)
def test_a_sign_in_that_is_not_whole_or_for_another_says_so(old: str, new: str, field: str, value: Any) -> None:
    assert told(message(SIGN_IN.replace(old, new).encode()))[field] == value


def test_nothing_is_listed_without_a_grant() -> None:
    bare = msgspec.structs.replace(MANDATE, tokens=None, signing=None, wallet=None)
    for content in (b"I accept order 7", SIGN_IN.encode()):
        facts = signature_facts(message(content), bare, None, {}, NOW)
        assert not facts["message_listed"]
        assert not facts["domain_listed"]
        assert not facts["signer_self"]
    facts = signature_facts(typed(), bare, None, {}, NOW)
    assert not facts["takings"][0]["token"]["listed"]
    assert not facts["signer_self"]
