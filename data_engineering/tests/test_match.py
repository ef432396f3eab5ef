from __future__ import annotations

from pathlib import Path

import pytest

from data_engineering.match import MatchError, Photos

PHOTOS = Photos(["/reef/a/1.jpg", "/reef/b/1.jpg", "/reef/b/2.jpg", "/reef/b/3.png", "/reef/b/3.jpg", "/x/b/4.tif"])


@pytest.mark.parametrize(
    ("photo", "found"),
    [
        ("/reef/a/1.jpg", "/reef/a/1.jpg"),
        ("2.jpg", "/reef/b/2.jpg"),
        ("/elsewhere/2.jpg", "/reef/b/2.jpg"),
        ("b/1.jpg", "/reef/b/1.jpg"),
        ("/moved/reef/a/1.jpg", "/reef/a/1.jpg"),
        ("3.png", "/reef/b/3.png"),
        ("4.jpg", "/x/b/4.tif"),
        ("b/4", "/x/b/4.tif"),
    ],
)
def test_a_photo_is_found_by_as_much_of_its_path_as_is_needed(photo: str, found: str) -> None:
    assert PHOTOS.find(photo) == found


@pytest.mark.parametrize(
    ("photo", "message"),
    [("1.jpg", "any of 2 photos"), ("c/1.jpg", "give more of the path"), ("3.tif", "3.png"), ("5.jpg", "no photo is")],
)
def test_none_and_several_are_refused(photo: str, message: str) -> None:
    with pytest.raises(MatchError, match=message):
        PHOTOS.find(photo)


def test_a_link_leads_to_its_photo(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "b" / "1.jpg")
    photos = Photos([str((tmp_path / name / "1.jpg").resolve()) for name in ("a", "b")])
    assert photos.find(tmp_path / "link.jpg") == str((tmp_path / "b" / "1.jpg").resolve())
