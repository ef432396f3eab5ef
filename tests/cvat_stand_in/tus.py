"""Resumable uploads: a file in pieces, each at the offset where the last one ended."""

from __future__ import annotations

import base64
import uuid
from pathlib import PurePosixPath
from typing import Any

from tests.cvat_stand_in.http import Call, Refusal, Reply, missing, nothing

RESUMABLE = {"Tus-Resumable": "1.0.0", "Cache-Control": "no-store"}


def begin(call: Call, folder: str) -> Reply:
    """The first request of an upload: where its pieces go."""
    given = dict(
        pair.strip().split(" ", 1) for pair in call.headers.get("upload-metadata", "").split(",") if " " in pair
    )
    filename = base64.b64decode(given.get("filename", "")).decode()
    key = f"{call.user.id}_{uuid.uuid4()}"
    path = call.state.folder / "uploads" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    size = int(call.headers.get("upload-length", "0"))
    name = PurePosixPath(filename.replace("\\", "/")).name
    call.state.uploads[key] = {"filename": name, "path": path, "size": size, "owner": call.user.id}
    return nothing(201, **RESUMABLE, Location=f"{call.base}{folder}/{key}", **{"Upload-Filename": key})


def found(call: Call, key: str) -> dict[str, Any]:
    upload = call.state.uploads.get(key)
    if upload is None or upload["owner"] != call.user.id:
        raise missing("Upload")
    return upload


def offset(call: Call) -> Reply:
    upload = found(call, call.parts["file"])
    sizes = {"Upload-Offset": str(upload["path"].stat().st_size), "Upload-Length": str(upload["size"])}
    return nothing(200, **RESUMABLE, **sizes)


def piece(call: Call) -> tuple[Reply, dict[str, Any] | None]:
    """One piece; with it the upload once it is whole. 409 for a piece that does not begin where the last one ended."""
    upload = found(call, call.parts["file"])
    have = upload["path"].stat().st_size
    if int(call.headers.get("upload-offset", "-1")) != have:
        raise Refusal(409, "offset does not fit", headers={**RESUMABLE, "Upload-Offset": str(have)})
    with upload["path"].open("ab") as file:
        file.write(call.body)
    have += len(call.body)
    return nothing(204, **RESUMABLE, **{"Upload-Offset": str(have)}), upload if have == upload["size"] else None
