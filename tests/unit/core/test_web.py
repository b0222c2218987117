"""A URL has one reading or none, and what is behind a host is called by its class."""

from __future__ import annotations

from typing import Any

import pytest

from safebox.firewall.core.arguments import outgoing
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.core.web import WebRequest, address_class, host_kind, web_facts
from safebox.firewall.errors import CallerError
from safebox.firewall.evidence import destinations


def ask(url: str, method: str = "GET", **more: Any) -> WebRequest:
    found = TOOLS["web.request"].parse({"method": method, "url": url, **more})
    assert isinstance(found, WebRequest)
    return found


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://api.example", ("https", "api.example", 443, "/", False)),
        ("http://API.Example/A?b=C", ("http", "api.example", 80, "/A?b=C", False)),
        ("https://api.example:8443/", ("https", "api.example", 8443, "/", False)),
        ("https://api.example?x", ("https", "api.example", 443, "/?x", False)),
        ("https://u:p@api.example/", ("https", "api.example", 443, "/", True)),
        ("https://@api.example/", ("https", "api.example", 443, "/", True)),
        ("https://api.example@evil.example/", ("https", "evil.example", 443, "/", True)),
        ("https://[::1]:8080/x", ("https", "::1", 8080, "/x", False)),
        ("http://0x7f.1/", ("http", "0x7f.1", 80, "/", False)),
    ],
)
def test_a_url_is_taken_apart(url: str, parts: tuple[Any, ...]) -> None:
    found = ask(url)
    assert (found.scheme, found.host, found.port, found.path, found.credentials) == parts


def test_a_tunnel_names_a_host_and_a_port() -> None:
    found = ask("api.example:443", "CONNECT")
    assert (found.scheme, found.host, found.port, found.path) == ("connect", "api.example", 443, "")


@pytest.mark.parametrize(
    "url",
    [
        "", "ftp://a.example", "HTTPS://a.example", "//a.example", "https:/a.example", "https://", "https:///x",
        "https://a.example/#x", "https://a.example/a b", "https://a.example\\@evil.example", "https://a\u3002example",
        "https://a.example:0/", "https://a.example:65536/", "https://a.example:443:80/", "https://[::1",
        "a.example:443",
        "https://a.example/\r\nHost: evil", "https://" + "a" * 9000, "javascript:alert(1)", "https://a.example:/",
    ],
)  # fmt: skip
def test_a_url_with_another_reading_is_refused(url: str) -> None:
    with pytest.raises(CallerError):
        ask(url)


@pytest.mark.parametrize("url", ["https://a.example/", "a.example", "a.example:443/x", "u@a.example:443"])
def test_a_tunnel_to_anything_else_is_refused(url: str) -> None:
    with pytest.raises(CallerError):
        ask(url, "CONNECT")


@pytest.mark.parametrize(
    "header",
    [
        {"name": "x y", "value": ""},
        {"name": "", "value": ""},
        {"name": "x", "value": "a\r\nb: c"},
        {"name": "x", "value": "\0"},
        {"name": "x", "value": "é"},
        {"name": "x:", "value": ""},
    ],
)
def test_a_header_that_is_none_is_refused(header: dict[str, str]) -> None:
    with pytest.raises(CallerError):
        ask("https://a.example", headers=[header])


def test_a_body_is_named_by_size_and_digest_and_bounded() -> None:
    found = ask("https://a.example", "POST", body_base64="aGk=")
    assert (found.body_bytes, found.body_digest[:14]) == (2, "sha256:8f434346"[:14])
    for wrong in ("aGk", "aGl=", "!", "A" * 400_000):
        with pytest.raises(CallerError):
            ask("https://a.example", "POST", body_base64=wrong)


def test_everything_of_a_request_is_compared_with_what_must_not_leave() -> None:
    found = ask("https://a.example/p?q=1", "POST", body_base64="aGk=", headers=[{"name": "X-A", "value": "v"}])
    leaves = outgoing(found)
    assert leaves is not None
    for part in (b"a.example", b"/p?q=1", b"x-a: v", b"hi"):
        assert part in leaves
    assert destinations(found) == ("a.example",)


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("api.example.org", "name"), ("xn--bcher-kva.example", "name"), ("93.184.215.14", "address"),
        ("2606:2800:21f::1", "address"), ("localhost", "odd"), ("127.1", "odd"), ("2130706433", "odd"),
        ("0x7f.0.0.1", "odd"), ("0177.0.0.1", "odd"), ("1.2.3.4.5", "odd"), ("api.example.org.", "odd"),
        ("a..example", "odd"), ("-a.example", "odd"), ("a_b.example", "odd"), ("api.example%2eorg", "odd"),
        ("0:0:0:0:0:0:0:1", "odd"), ("fe80::1%eth0", "odd"), ("", "odd"), ("a.0x10", "odd"),
        ("*.example.org", "odd"),
    ],
)  # fmt: skip
def test_an_odd_spelling_is_told_from_a_name(host: str, kind: str) -> None:
    assert host_kind(host) == kind


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("93.184.215.14", "public"), ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", "public"), ("10.0.0.1", "private"),
        ("172.16.0.1", "private"), ("192.168.1.1", "private"), ("100.64.0.1", "private"), ("127.0.0.1", "loopback"),
        ("127.8.8.8", "loopback"), ("0.0.0.0", "loopback"),  # noqa: S104
        ("::1", "loopback"), ("::", "loopback"),
        ("169.254.1.1", "link_local"), ("fe80::1", "link_local"), ("fe80::1%eth0", "link_local"),
        ("169.254.169.254", "metadata"),
        ("100.100.100.200", "metadata"), ("168.63.129.16", "metadata"), ("fd00:ec2::254", "metadata"),
        ("fd00::1", "private"), ("224.0.0.1", "multicast"), ("ff02::1", "multicast"), ("255.255.255.255", "private"),
        ("::ffff:10.0.0.1", "private"), ("::ffff:169.254.169.254", "metadata"), ("::ffff:93.184.215.14", "public"),
        ("64:ff9b::a00:1", "private"), ("2002:7f00:1::", "loopback"), ("::7f00:1", "loopback"),
        ("64:ff9b::5db8:d70e", "public"), ("example.org", "unknown"), ("", "unknown"), ("127.1", "unknown"),
    ],
)  # fmt: skip
def test_an_address_is_called_by_what_it_leads_to(address: str, kind: str) -> None:
    assert address_class(address) == kind


def test_facts_name_every_address_and_null_where_nothing_is_known() -> None:
    found = ask("https://a.example")
    assert web_facts(found, None) == {"host_kind": "name", "addresses": None}
    assert web_facts(found, []) == {"host_kind": "name", "addresses": None}
    both = web_facts(found, ["93.184.215.14", "10.0.0.1"])["addresses"]
    assert [each["class"] for each in both] == ["public", "private"]
    literal = web_facts(ask("https://10.0.0.1"), ["93.184.215.14"])
    assert literal == {"host_kind": "address", "addresses": [{"address": "10.0.0.1", "class": "private"}]}
