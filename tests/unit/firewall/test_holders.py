"""`signer.toml` says who holds the owner's key; whatever is wrong with it is said with its line, and no key is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from safebox.firewall.errors import ConfigError
from safebox.firewall.exchange import Endpoint, endpoint
from safebox.firewall.ownerkey import make_owner, take_owner
from safebox.firewall.signer.holders import FILE_NAME, Service, owner_address, read_service, read_token

ADDRESS = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
GOOD = f"""
[owner]
service = "unix:/run/kms/sign.sock"
key = "alias/treasury"
address = "{ADDRESS.lower()}"
"""


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    folder.joinpath(FILE_NAME).write_text(text)
    folder.joinpath(FILE_NAME).chmod(mode)
    return folder


def test_without_the_file_the_key_file_has_the_key(tmp_path: Path) -> None:
    assert read_service(tmp_path) is None


def test_it_names_the_service_and_the_address(tmp_path: Path) -> None:
    folder = written(tmp_path, GOOD + 'token = "/etc/kms-token"\n')
    assert read_service(folder) == Service("unix:/run/kms/sign.sock", "alias/treasury", ADDRESS, Path("/etc/kms-token"))
    assert owner_address(folder) == ADDRESS, "wallet show needs neither key file nor service"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "[owner]",
        GOOD.replace("[owner]", "[treasury]"),
        GOOD + '[runs]\nkey = "x"\n',
        GOOD + 'adress = "0x"\n',
        GOOD + 'token = "token"\n',
        GOOD.replace(ADDRESS.lower(), "0x4720"),
        GOOD.replace(ADDRESS.lower(), ADDRESS.replace("0x4720d", "0x4720D")),
        GOOD.replace(f'"{ADDRESS.lower()}"', "7"),
        GOOD.replace("alias/treasury", ""),
        GOOD.replace("alias/treasury", "k" * 2049),
        GOOD.replace("unix:/run", "unix:run"),
        GOOD.replace("unix:/run/kms/sign.sock", "http://kms.example/"),
        GOOD.replace("unix:/run/kms/sign.sock", "https://user:word@kms.example/"),
        GOOD.replace("unix:/run/kms/sign.sock", "https://kms.example:port/"),
        GOOD + "address = 1",
        "\x00",
        "x" * 5000,
    ],
)
def test_what_is_wrong_with_it_opens_no_key(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigError, match=FILE_NAME):
        read_service(written(tmp_path, wrong))


def test_a_file_that_others_can_write_is_not_believed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="others"):
        read_service(written(tmp_path, GOOD, 0o622))


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("unix:/run/k.sock", Endpoint("unix", "/run/k.sock", 0, "/")),
        ("https://kms.example", Endpoint("https", "kms.example", 443, "/")),
        ("https://kms.example:8443/v1?x=y", Endpoint("https", "kms.example", 8443, "/v1?x=y")),
        ("http://127.0.0.1:8080/", Endpoint("http", "127.0.0.1", 8080, "/")),
        ("http://[::1]:8080/", Endpoint("http", "::1", 8080, "/")),
    ],
)
def test_where_a_service_may_be(url: str, found: Endpoint) -> None:
    assert endpoint(url) == found


def test_a_token_is_one_private_line(tmp_path: Path) -> None:
    token = tmp_path / "token"
    assert read_token(None) == ""
    for content in (b"", b"\n", b"two words", b"two\r\nX-Lines: 1", b"\xff", b"x" * 20_000):
        token.write_bytes(content)
        token.chmod(0o600)
        with pytest.raises(ConfigError):
            read_token(token)
    token.write_text("abc.def\n")
    assert read_token(token) == "abc.def"
    token.chmod(0o640)
    with pytest.raises(ConfigError, match="others"):
        read_token(token)


def test_no_key_is_made_or_taken_in_as_the_owners_beside_a_service(tmp_path: Path) -> None:
    folder = written(tmp_path, GOOD)
    makes: list[Callable[[], str]] = [lambda: make_owner(folder), lambda: take_owner(folder, b"\x01" * 32)]
    for make in makes:
        with pytest.raises(ConfigError, match="service") as caught:
            make()
        assert caught.value.code == "wallet.in_service"
    assert not (folder / "keystore").exists()
