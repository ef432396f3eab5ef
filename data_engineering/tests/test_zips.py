from __future__ import annotations

import errno
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_engineering.formats import zips
from data_engineering.formats.collection import FormatError


def packed(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo("x")
            info.filename = name  # as it is, where ZipInfo() would clean it
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


@pytest.mark.parametrize("name", ["../a.jpg", "a/../../b", "/etc/a", "C:/a", "c:a", "a\\..\\b", ".."])
def test_names_that_lead_outside_are_refused(tmp_path, name):
    path = packed(tmp_path / "a.zip", {"good.jpg": b"1", name: b"2"})
    with pytest.raises(FormatError, match=r"a\.zip: its member .* would be written outside"), zips.opened(path):
        pass


@given(st.text(st.sampled_from("ab./\\:C\0"), max_size=8))
def test_a_safe_name_stays_below_its_folder(name):
    if zips.safe(name):
        folder = Path("/somewhere/deep").resolve()
        assert (folder / name).resolve().is_relative_to(folder)


def test_links_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("a.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(FormatError, match=r"'a\.jpg' is a link"), zips.opened(tmp_path / "a.zip"):
        pass


def test_a_member_that_is_there_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a", "2")
    with pytest.raises(FormatError, match="'a' is there twice"), zips.opened(tmp_path / "a.zip"):
        pass


def test_bounds(tmp_path, monkeypatch):
    path = packed(tmp_path / "a.zip", {"a": b"0" * 1_000_000, "b": b""})
    monkeypatch.setattr(zips, "_RATIO_FROM", 1000)
    monkeypatch.setattr(zips, "MAX_RATIO", 100)
    with pytest.raises(FormatError, match="over 100 times its size"), zips.opened(path):
        pass
    monkeypatch.setattr(zips, "MAX_BYTES", 999_999)
    with pytest.raises(FormatError, match="2 members of 1000000 bytes: more than"), zips.opened(path):
        pass


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\x03\x04 cut off"])
@pytest.mark.parametrize("suffix", ["zip", "7z"])
def test_what_is_no_archive_is_refused(tmp_path, data, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=rf"a\.{suffix}: not a "), zips.opened(path):
        pass


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(FormatError, match=r"a\.zip: no such file or folder"), zips.opened(tmp_path / "a.zip"):
        pass


def test_a_damaged_member_is_named_and_nothing_is_written(tmp_path):
    path = packed(tmp_path / "a.zip", {"a.jpg": bytes(range(256)) * 100})
    data = bytearray(path.read_bytes())
    data[60:80] = b"\xff" * 20
    path.write_bytes(data)
    with zips.opened(path) as archive, pytest.raises(FormatError, match=r"a\.zip: a\.jpg in it is damaged"):
        archive.put("a.jpg", tmp_path / "out" / "a.jpg")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_cut_zip_is_refused(tmp_path):
    path = packed(tmp_path / "a.zip", {"a.jpg": b"1" * 1000})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(FormatError, match="not a zip file, or one that was cut off"), zips.opened(path):
        pass


def test_what_is_there_with_the_same_size_is_kept(tmp_path):
    path = packed(tmp_path / "a.zip", {"a": b"new", "b": b"new"})
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "b").write_bytes(b"cut off")
    with zips.opened(path) as archive:
        assert [archive.put(name, tmp_path / name).read_bytes() for name in "ab"] == [b"old", b"new"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said(tmp_path, monkeypatch, number):
    def full(*_: object) -> None:
        raise OSError(number, "full")

    path = packed(tmp_path / "a.zip", {"a": b"1"})
    monkeypatch.setattr("shutil.copyfileobj", full)
    with zips.opened(path) as archive, pytest.raises(FormatError, match="the disk is full: make room and start again"):
        archive.put("a", tmp_path / "a")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip"]


def test_names_that_differ_in_case_alone_are_told_apart():
    assert zips.targets(["x/A.jpg", "x/a.jpg", "X/a.jpg", "b"]) == {
        "x/A.jpg": "x/A.jpg", "x/a.jpg": "x/a-2.jpg", "X/a.jpg": "X/a-3.jpg", "b": "b",
    }  # fmt: skip


@pytest.mark.parametrize("header", [False, True])
def test_a_locked_7z_needs_its_password(tmp_path, monkeypatch, header):
    py7zr = pytest.importorskip("py7zr")
    path = tmp_path / "a.7z"
    with py7zr.SevenZipFile(path, "w", password="right", header_encryption=header) as archive:
        archive.writestr(b"{}" * 1000, "data/a.json")
    monkeypatch.delenv(zips.PASSWORD, raising=False)
    with pytest.raises(FormatError, match=f"locked: set {zips.PASSWORD}"), zips.opened(path):
        pass
    monkeypatch.setenv(zips.PASSWORD, "wrong")
    with pytest.raises(FormatError, match=f"locked with another password than {zips.PASSWORD}"), zips.opened(path):
        pass
    monkeypatch.setenv(zips.PASSWORD, "right")
    with zips.opened(path, scratch=tmp_path / "scratch") as archive:
        assert archive.sizes == {"data/a.json": 2000}
        copy = archive.put("data/a.json", tmp_path / "kept.json")
    assert copy.read_bytes() == b"{}" * 1000
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_folder_is_read_where_it_lies(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_bytes(b"1")
    (tmp_path.parent / "outside").write_bytes(b"2")
    with zips.opened(tmp_path) as archive:
        assert archive.read("data/a") == b"1"
        assert archive.put("data/a", tmp_path / "other") == tmp_path / "data" / "a"
        assert not archive.has("../outside")
        with pytest.raises(FormatError, match="b is not in it"):
            archive.read("b")


def test_what_fails_while_a_7z_is_open_is_not_blamed_on_the_file(tmp_path):
    py7zr = pytest.importorskip("py7zr")
    path = tmp_path / "a.7z"
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.writestr(b"{}", "data/a.json")
    with pytest.raises(ValueError, match="^the server is lost$"), zips.opened(path, scratch=tmp_path / "scratch"):
        raise ValueError("the server is lost")
    assert list((tmp_path / "scratch").iterdir()) == []
