"""`safebox.firewall.engines.archive`: one way of writing, and a hostile archive costs bounded work."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.engines import archive
from safebox.firewall.engines.archive import ArchiveError, pack, unpack, unwrap, wrap

FILES = [("b/c.rego", b"package c\n"), (".manifest", b"{}"), ("data.json", b"x" * 512), ("empty.rego", b"")]
NAMES = st.from_regex(r"[a-z0-9_]{1,8}(/[a-z0-9_]{1,8}){0,2}\.rego", fullmatch=True)


def test_the_same_files_in_any_order_are_the_same_bytes() -> None:
    assert wrap(pack(FILES)) == wrap(pack(reversed(FILES)))


@given(files=st.dictionaries(NAMES, st.binary(max_size=2_000), max_size=6))
def test_what_is_written_is_read_back(files: dict[str, bytes]) -> None:
    assert dict(unpack(unwrap(wrap(pack(files.items()))))) == files


def test_other_programs_read_it() -> None:
    with tarfile.open(fileobj=io.BytesIO(wrap(pack(FILES))), mode="r:gz") as found:
        members = found.getmembers()
        assert [each.name for each in members] == sorted(name for name, _ in FILES)
        assert {(each.mode, each.uid, each.gid, each.mtime, each.type) for each in members} == {
            (0o644, 0, 0, 0, tarfile.REGTYPE)
        }
        read = found.extractfile("b/c.rego")
        assert read is not None
        assert read.read() == b"package c\n"


def member(name: str, content: bytes = b"x", **attributes: object) -> tuple[tarfile.TarInfo, bytes]:
    about = tarfile.TarInfo(name)
    about.size = len(content) if attributes.get("type", tarfile.REGTYPE) == tarfile.REGTYPE else 0
    for key, value in attributes.items():
        setattr(about, key, value)
    return about, content


def written(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as found:
        for about, content in members:
            found.addfile(about, io.BytesIO(content) if about.size else None)
        end = found.offset
    return file.getvalue()[:end] + bytes(1024)


def test_a_plain_file_of_another_program_is_the_same_bytes() -> None:
    """So what is refused below is refused for what it says there."""
    assert written(member("a.rego"), member("b.rego")) == pack([("a.rego", b"x"), ("b.rego", b"x")])


HOSTILE: dict[str, Callable[[], bytes]] = {
    "a path upwards": lambda: written(member("../x.rego")),
    "a path upwards inside": lambda: written(member("a/../../x.rego")),
    "an absolute path": lambda: written(member("/etc/x.rego")),
    "a dot": lambda: written(member("./x.rego")),
    "two slashes": lambda: written(member("a//x.rego")),
    "a name with a line end": lambda: written(member("a\nx.rego")),
    "a name that is no ASCII": lambda: written(member("ä.rego"), form=tarfile.GNU_FORMAT),
    "a name with a NUL": lambda: _changed(written(member("a.rego")), 1, b"\0"),
    "a symbolic link": lambda: written(member("x.rego", type=tarfile.SYMTYPE, linkname="/etc/passwd")),
    "a hard link": lambda: written(member("x.rego", type=tarfile.LNKTYPE, linkname="y")),
    "a folder": lambda: written(member("x", type=tarfile.DIRTYPE)),
    "a device": lambda: written(member("x", type=tarfile.CHRTYPE)),
    "a pipe": lambda: written(member("x", type=tarfile.FIFOTYPE)),
    "a sparse file": lambda: written(member("x", type=tarfile.GNUTYPE_SPARSE), form=tarfile.GNU_FORMAT),
    "a long name of GNU": lambda: written(member("x" * 200), form=tarfile.GNU_FORMAT),
    "pax attributes": lambda: written(member("x", pax_headers={"path": "../y"}), form=tarfile.PAX_FORMAT),
    "a time": lambda: written(member("x.rego", mtime=1)),
    "an owner": lambda: written(member("x.rego", uid=1)),
    "an owner's name": lambda: written(member("x.rego", uname="root")),
    "another mode": lambda: written(member("x.rego", mode=0o777)),
    "the same name twice": lambda: written(member("x.rego"), member("x.rego")),
    "another order": lambda: written(member("y.rego"), member("x.rego")),
    "a negative size": lambda: _sized(b"-0000000001\0"),
    "a size in base 256": lambda: _sized(b"\x80" + bytes(10) + b"\x01"),
    "a size beyond the end": lambda: _sized(b"00000777777\0"),
    "a size beyond everything": lambda: _sized(b"77777777777\0"),
    "a wrong checksum": lambda: _changed(pack(FILES), 148, b"0000000"),
    "padding that says something": lambda: _changed(pack([("a.rego", b"x")]), 600, b"hidden"),
    "something after the end": lambda: pack(FILES) + b"x",
    "blocks after the end": lambda: pack(FILES) + bytes(512),
    "one block too few at the end": lambda: pack(FILES)[:-512],
    "no end": lambda: pack(FILES)[:-1024],
    "half a header": lambda: pack(FILES)[:300],
    "nothing": lambda: b"",
    "a file behind the end": lambda: pack(FILES) + pack([("z.rego", b"package z")]),
    "too many files": lambda: pack((f"{number:05}.rego", b"") for number in range(archive.ENTRIES_MAX + 1)),
}


def _changed(raw: bytes, place: int, text: bytes) -> bytes:
    return raw[:place] + text + raw[place + len(text) :]


def _sized(size: bytes) -> bytes:
    """A header that is right in everything but what it says of its size."""
    tar = _changed(_changed(pack([("a.rego", b"x")]), 124, size), 148, b" " * 8)
    return _changed(tar, 148, b"%06o\0 " % sum(tar[:512]))


@pytest.mark.parametrize("what", HOSTILE)
def test_a_tar_that_is_not_exactly_ours_is_refused(what: str) -> None:
    with pytest.raises(ArchiveError):
        unpack(HOSTILE[what]())


def test_every_changed_byte_of_the_tar_is_found() -> None:
    tar = pack(FILES)
    for place in range(len(tar)):
        changed = _changed(tar, place, bytes([tar[place] ^ 1]))
        try:
            assert unpack(changed) != unpack(tar), place
        except ArchiveError:
            continue


GZIPS: dict[str, Callable[[bytes], bytes]] = {
    "no gzip": lambda tar: tar,
    "a name in the header": lambda tar: _gzip(tar, "bundle.tar"),
    "a time in the header": lambda tar: gzip.compress(tar, mtime=1),
    "two members": lambda tar: wrap(tar) + wrap(tar),
    "something after it": lambda tar: wrap(tar) + b"x",
    "zeros after it": lambda tar: wrap(tar) + bytes(8),
    "cut off": lambda tar: wrap(tar)[:-9],
    "cut off in its trailer": lambda tar: wrap(tar)[:-1],
    "no trailer": lambda tar: wrap(tar)[:-8],
    "a wrong checksum": lambda tar: _changed(wrap(tar), len(wrap(tar)) - 8, b"xxxx"),
    "a wrong length": lambda tar: _changed(wrap(tar), len(wrap(tar)) - 4, b"xxxx"),
    "damaged": lambda tar: _changed(wrap(tar), 12, b"\xff\xff\xff"),
    "nothing": lambda tar: b"",
    "a header alone": lambda tar: wrap(tar)[:10],
}


def _gzip(tar: bytes, name: str) -> bytes:
    file = io.BytesIO()
    with gzip.GzipFile(name, "wb", fileobj=file, mtime=0) as writer:
        writer.write(tar)
    return file.getvalue()


@pytest.mark.parametrize("what", GZIPS)
def test_a_gzip_that_is_not_exactly_ours_is_refused(what: str) -> None:
    with pytest.raises(ArchiveError):
        unwrap(GZIPS[what](pack(FILES)))


def test_what_is_compressed_is_not_read_so_nothing_is_a_bomb() -> None:
    bomb = gzip.compress(bytes(100_000_000), mtime=0)
    tracemalloc.start()
    with pytest.raises(ArchiveError):
        unwrap(wrap(b"")[:10] + bomb[10:])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * len(bomb)


@pytest.mark.parametrize("size", [0, 1, 65_534, 65_535, 65_536, 131_070, 131_071])
def test_any_gzip_reads_it(size: int) -> None:
    assert gzip.decompress(wrap(bytes(size))) == unwrap(wrap(bytes(size))) == bytes(size)


@pytest.mark.parametrize(
    "pieces",
    [[b"\0\0\0\xff\xff"], [b"\0\1\0\xfe\xffx"], [b"\1\0\0\xff\xff"], [b"\3\0\0\xff\xff"], [b"\1\1\0\xff\xffx"]],
)
def test_the_same_bytes_stored_otherwise_are_refused(pieces: list[bytes]) -> None:
    raw = wrap(pack(FILES))
    with pytest.raises(ArchiveError):
        unwrap(raw[:10] + b"".join(pieces) + raw[10:])


def test_every_changed_byte_of_the_gzip_is_found() -> None:
    raw = wrap(pack([("a.rego", b"x")]))
    for place in range(len(raw)):
        with pytest.raises(ArchiveError):
            unpack(unwrap(_changed(raw, place, bytes([raw[place] ^ 1]))))


def test_a_file_that_is_too_large_is_not_read() -> None:
    with pytest.raises(ArchiveError, match="more than"):
        unwrap(bytes(archive.FILE_BYTES_MAX + 1))


@pytest.mark.parametrize("name", ["", "a b", "x" * 101, "../a", "a/./b", "ä", "a/", "/a", "a\\b", ".a/b", "a/.b"])
def test_names_that_mean_two_things_are_not_written(name: str) -> None:
    with pytest.raises(ArchiveError):
        pack([(name, b"")])


def test_what_is_too_large_is_not_written() -> None:
    with pytest.raises(ArchiveError):
        wrap(bytes(archive.FILE_BYTES_MAX + 1))
