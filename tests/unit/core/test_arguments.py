"""What an agent writes has one meaning, or none."""

import base64
import contextlib
import json
from typing import Any

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.core import arguments as a
from safebox.firewall.core.action import canonical
from safebox.firewall.core.money import UNITS_MAX, Amount
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.errors import CallerError

ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
"""From EIP-55."""


# --- JSON -------------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-UNITS_MAX, UNITS_MAX) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)


@given(json_values, st.booleans())
def test_json_is_read_as_it_was_written(value: Any, ascii_only: bool) -> None:
    assert a.parse_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(CallerError):
        canonical(a.parse_json(body))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{} {}",
        b"{}x",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"'a'",
        b"{a: 1}",
        b"[1,]",
        b"// x\n1",
        b"NaN",
        b"-Infinity",
        b'{"a": Infinity}',
        b"1.0",
        b"1e3",
        b'{"amount": 0.1}',
        b"01",
        b"+1",
        b"0x10",
        b'{"to": 1, "to": 2}',
        b'{"to": 1, "t\\u006f": 2}',
        b'[{"x": {"a": 1, "a": 1}}]',
        b'"\\ud800"',
        b'{"a": ["\\uDFFF"]}',
        b'{"\\ud800": 1}',
        b'"\\ud800\\u0041"',
        b'"a\x00b"',
        b'"a\nb"',
        str(UNITS_MAX + 1).encode(),
        str(-UNITS_MAX - 1).encode(),
        b"9" * 79,
        b"9" * 5_000,
        b"[" * 33 + b"]" * 33,
        b"[" * 200_000,
        b'{"a":' * 33 + b"1" + b"}" * 33,
    ],
)
def test_json_of_no_or_of_two_meanings_is_refused(body: bytes) -> None:
    with pytest.raises(CallerError):
        a.parse_json(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"[" * 32 + b"]" * 32, None),
        (str(UNITS_MAX).encode(), UNITS_MAX),
        (str(-UNITS_MAX).encode(), -UNITS_MAX),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\\\ud800"', "\\ud800"),
    ],
)
def test_what_is_just_within_bounds_is_read(body: bytes, value: object) -> None:
    assert value is None or a.parse_json(body) == value
    a.parse_json(body)


def test_fractions_are_read_only_where_they_are_asked_for() -> None:
    assert a.parse_json(b'{"temperature": 0.5}', floats=True) == {"temperature": 0.5}
    for body in (b"NaN", b"Infinity", b"1e999", b"-1e999"):
        with pytest.raises(CallerError):
            a.parse_json(body, floats=True)


# --- addresses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        ADDRESS,
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0xde709f2102306220921060314715629080e2fb77",
    ],
)
def test_the_examples_of_eip_55_are_read_in_every_permitted_case(address: str) -> None:
    checksummed = to_checksum_address(address)
    assert a.parse_address(address) == checksummed
    assert a.parse_address(address.lower()) == checksummed
    assert a.parse_address("0x" + address[2:].upper()) == checksummed


def test_any_single_letter_in_the_wrong_case_is_refused() -> None:
    for at in range(2, 42):
        if ADDRESS[at].isalpha():
            with pytest.raises(CallerError, match="checksum"):
                a.parse_address(ADDRESS[:at] + ADDRESS[at].swapcase() + ADDRESS[at + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acme",
        "acme.eth",
        ADDRESS[2:],
        ADDRESS[:-1],
        ADDRESS + "0",
        "0X" + ADDRESS[2:],
        ADDRESS + "\n",
        " " + ADDRESS,
        "0x" + "g" * 40,
        "0x" + "\uff10" * 40,
        "0x" + "\u0430" * 40,
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(CallerError):
        a.parse_address(text)


@pytest.mark.parametrize("text", ["a@b.example", "A.B+tag@Sub.B.EXAMPLE", "x" * 64 + "@b.example"])
def test_plain_mail_addresses_are_read_in_lower_case(text: str) -> None:
    assert a.parse_mailbox(text) == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a@",
        "@b.example",
        "a@b",
        "a@b.",
        "a@.b.example",
        "a@b..example",
        "a@b.example\n",
        "a@b.example\r\nBcc: c@d.example",
        "a@b.example,c@d.example",
        "a@b.example c@d.example",
        "A <a@b.example>",
        "<a@b.example>",
        '"a b"@b.example',
        "a(comment)@b.example",
        "a@[127.0.0.1]",
        "a@b@c.example",
        "a@b.ex\u0430mple",
        "\u0430@b.example",
        "\u212aing@b.example",
        "x" * 65 + "@b.example",
        "a@" + "b" * 64 + ".example",
        "a@" + "b." * 130 + "example",
    ],
)
def test_what_is_no_plain_mail_address_is_refused(text: str) -> None:
    with pytest.raises(CallerError):
        a.parse_mailbox(text)


# --- mail -------------------------------------------------------------------------------------------------------


def mail(**changes: Any) -> Any:
    return TOOLS["email.send"].parse({"to": ["a@b.example"], "subject": "s", "body": "b"} | changes)


def test_recipients_are_lower_case_and_each_is_there_once() -> None:
    assert mail(to=["B@b.example", "a@b.example", "b@B.example"]).to == ("b@b.example", "a@b.example")


@pytest.mark.parametrize("subject", ["a\nb", "a\r\nBcc: x@y.example", "a\0", "a\x7f", "a\u2028b", "a\u2029b", "a\x85b"])
def test_a_subject_of_more_than_one_line_is_refused(subject: str) -> None:
    with pytest.raises(CallerError):
        mail(subject=subject)


@pytest.mark.parametrize(
    "changes",
    [
        {"to": []},
        {"to": "a@b.example"},
        {"to": ["a@b.example"] * (a.RECIPIENTS_MAX + 1)},
        {"subject": "x" * (a.SUBJECT_MAX + 1)},
        {"body": "x" * (a.BODY_MAX + 1)},
        {"body": None},
        {"cc": ["c@d.example"]},
        {"attachments": [{"name": "../x", "content_base64": ""}]},
        {"attachments": [{"name": "a\\b", "content_base64": ""}]},
        {"attachments": [{"name": "", "content_base64": ""}]},
        {"attachments": [{"name": "a\r\n", "content_base64": ""}]},
        {"attachments": [{"name": "a", "content_base64": "", "more": 1}]},
        {"attachments": [{"name": "a", "content_base64": ""}] * (a.ATTACHMENTS_MAX + 1)},
    ],
)
def test_a_mail_out_of_bounds_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CallerError):
        mail(**changes)


def test_attachments_together_have_a_limit() -> None:
    half = base64.b64encode(bytes(a.ATTACHMENT_BYTES_MAX // 2 + 1)).decode()
    with pytest.raises(CallerError) as caught:
        mail(attachments=[{"name": name, "content_base64": half} for name in "ab"])
    assert caught.value.code == "request.too_large"


@given(st.binary(max_size=64))
def test_canonical_base64_is_read_back(content: bytes) -> None:
    assert a.decode_base64(base64.b64encode(content).decode()) == content


@pytest.mark.parametrize("text", ["YQ", "YQ=", "YR==", "YQ==\n", "Y Q==", "YQ===", "YQ==YQ==", "_-==", "\u0662", "="])
def test_base64_written_in_another_way_is_refused(text: str) -> None:
    with pytest.raises(CallerError):
        a.decode_base64(text)


@given(st.text(alphabet="YQRZg=+/-_ \n", max_size=8))
def test_each_content_has_one_base64_text(text: str) -> None:
    try:
        content = a.decode_base64(text)
    except CallerError:
        return
    assert base64.b64encode(content).decode() == text


def test_policy_sees_attachments_by_name_size_and_digest() -> None:
    view = a.view_email(mail(attachments=[{"name": "a.txt", "content_base64": "aGk="}]))
    digest = "sha256:8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"
    assert view["attachments"] == [{"name": "a.txt", "bytes": 2, "digest": digest}]


# --- transfers --------------------------------------------------------------------------------------------------


def pay(**changes: Any) -> a.Transfer:
    parsed = TOOLS["wallet.transfer"].parse({"to": ADDRESS.lower(), "amount": "0.1 ETH"} | changes)
    assert isinstance(parsed, a.Transfer)
    return parsed


def test_a_transfer_is_normalised() -> None:
    asked = pay(amount="5 wei", gas=21_000, max_fee_per_gas="20 gwei", max_priority_fee_per_gas="0 wei", nonce=0)
    assert asked == a.Transfer(ADDRESS, Amount(5, "ETH"), 21_000, Amount(20 * 10**9, "ETH"), Amount(0, "ETH"), 0)
    assert pay() == a.Transfer(ADDRESS, Amount(10**17, "ETH"), None, None, None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 1},
        {"amount": 0.1},
        {"amount": None},
        {"amount": "0.1"},
        {"amount": "1 USD"},
        {"amount": "-1 ETH"},
        {"amount": "1e18 wei"},
        {"amount": {"asset": "ETH", "units": "0" * 78}},
        {"to": "acme"},
        {"to": None},
        {"gas": 20_999},
        {"gas": a.GAS_MAX + 1},
        {"gas": "21000"},
        {"gas": True},
        {"nonce": -1},
        {"nonce": 2**63},
        {"max_fee_per_gas": 20},
        {"max_fee_per_gas": "20 tokens"},
        {"data": "0x"},
        {"from": ADDRESS},
    ],
)
def test_a_transfer_that_is_not_exact_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CallerError):
        pay(**changes)


# --- compute ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"command": []},
        {"command": "true"},
        {"command": ["x"] * (a.COMMAND_MAX + 1)},
        {"minutes": 0},
        {"minutes": a.LEASE_MINUTES_MAX + 1},
        {"minutes": 1.5},
        {"image": ""},
        {"name": "a b"},
        {"privileged": True},
    ],
)
def test_a_lease_out_of_bounds_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CallerError):
        TOOLS["compute.start"].parse({"image": "base", "command": ["true"], "minutes": 1} | changes)


# --- chat -------------------------------------------------------------------------------------------------------


def chat(**changes: Any) -> a.Chat:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]} | changes
    parsed = TOOLS["inference.chat"].parse(body)
    assert isinstance(parsed, a.Chat)
    return parsed


def test_the_judged_fields_of_a_chat_are_taken_out_and_the_rest_goes_on() -> None:
    asked = chat(max_tokens=9, stream=True, tools=[{"x": 1}])
    assert (asked.model, asked.max_tokens, asked.stream) == ("m", 9, True)
    assert asked.request["tools"] == [{"x": 1}]


def test_the_larger_of_two_limits_is_the_worst_case() -> None:
    assert chat(max_tokens=9, max_completion_tokens=10).max_tokens == 10
    assert chat(max_tokens=9, max_completion_tokens=None).max_tokens == 9
    assert chat().max_tokens is None


@pytest.mark.parametrize(
    "changes",
    [
        {"model": None},
        {"model": ""},
        {"model": ["m"]},
        {"messages": None},
        {"messages": []},
        {"messages": "x"},
        {"stream": "true"},
        {"stream": 1},
        {"stream": None},
        {"n": 2},
        {"n": 0},
        {"n": "1"},
        {"max_tokens": 0},
        {"max_tokens": -1},
        {"max_tokens": 2**31},
        {"max_tokens": True},
        {"max_tokens": 1.0},
        {"max_tokens": "9"},
        {"max_completion_tokens": "9", "max_tokens": 9},
    ],
)
def test_a_chat_whose_limits_are_unclear_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CallerError):
        chat(**changes)


def test_policy_sees_a_chat_by_its_digest() -> None:
    view = a.view_chat(chat(max_tokens=9))
    assert view.keys() == {"model", "max_tokens", "stream", "request_bytes", "request_digest"}
    assert view["request_digest"] == a.view_chat(chat(max_tokens=9))["request_digest"]
    assert view["request_digest"] != a.view_chat(chat(max_tokens=9, temperature=0.5))["request_digest"]


# --- what leaves ------------------------------------------------------------------------------------------------


def test_what_leaves_with_an_action_is_everything_that_could_carry_a_payload() -> None:
    sent = a.outgoing(mail(subject="S", body="B", attachments=[{"name": "n", "content_base64": "aGk="}]))
    assert sent == b"S\nB\nn\nhi"
    compute = {"image": "base", "command": ["true"], "minutes": 1}
    assert a.outgoing(TOOLS["compute.start"].parse(compute | {"input": "I"})) == b"I"
    assert a.outgoing(TOOLS["compute.start"].parse(compute)) is None
    assert a.outgoing(pay()) is None
