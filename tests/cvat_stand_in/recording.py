"""What the recording holds and what it left out."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.cvat_stand_in.sameness import SINGULAR


def started_after(exchanges: list[dict[str, Any]], rq_id: str) -> int:
    """How often a request said "started" before it had ended."""
    count = 0
    for exchange in exchanges:
        body = (exchange["response"] or {"body": None})["body"]
        if isinstance(body, dict) and body.get("id") == rq_id:
            if body["status"] != "started":
                return count
            count += 1
        elif isinstance(body, dict) and body.get("rq_id") == rq_id:
            return count
    return count


def collection(path: str) -> str:
    plain = path.split("?")[0].replace("/ping", "/deliveries").strip("/").split("/")
    names = [part for part in plain if part in SINGULAR]
    return SINGULAR[names[-1]] if names else ""


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The bytes of the recording by their hash: photos, exports, backups."""
    for path in sorted((folder / "exports").glob("*.zip")):
        yield hashlib.sha256(path.read_bytes()).hexdigest(), path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".jpg"):
                    yield hashlib.sha256(archive.read(name)).hexdigest(), archive.read(name)
    empty = b"PK\x05\x06" + bytes(18)
    yield hashlib.sha256(empty).hexdigest(), empty


def full(folder: Path) -> Iterator[bytes]:
    for name in ("grid_annotations_get_full.json", "grid_labels_full.json"):
        yield (folder / name).read_bytes()


def grid_labels(folder: Path) -> list[dict[str, Any]]:
    """The labels that the recording sent, from those that it got back."""
    [label] = json.loads((folder / "grid_labels_full.json").read_text())["results"]
    names = {str(part["id"]): part["name"] for part in label["sublabels"]}
    svg = re.sub(r'data-label-id="(\d+)"', lambda match: f'data-label-name="{names[match[1]]}"', label["svg"])
    known = ("name", "color", "type", "attributes")
    parts = [{name: part[name] for name in known} for part in label["sublabels"]]
    return [{**{name: label[name] for name in known}, "sublabels": parts, "svg": svg}]


def multipart(parts: list[dict[str, Any]], media: str, files: dict[str, bytes]) -> bytes:
    found = re.search("boundary=(.+)", media)
    assert found
    body = b""
    for part in parts:
        content = part["text"].encode() if "text" in part else files[part["sha256"]]
        body += f"--{found[1]}\r\n".encode() + "\r\n".join(part["headers"]).encode() + b"\r\n\r\n" + content + b"\r\n"
    return body + f"--{found[1]}--\r\n".encode()
