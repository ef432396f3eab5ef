"""The recorded life of guide C, played to the stand-in step by step."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cvat_stand_in import recording
from tests.cvat_stand_in.receiver import Receiver
from tests.cvat_stand_in.sameness import Sameness
from tests.cvat_stand_in.server import PASSWORD, Server, wait_for
from tests.cvat_stand_in.zips import same_zip

# Who asked by session, by the number of the exchange: the recording has no cookie in it.
SESSIONS = (
    (35, "bridge"),
    (43, "admin"),
    (90, "outsider"),
    (108, "admin"),
    (162, "annotator"),
    (184, "admin"),
    (481, "outsider"),
)
# Who asked by token, where it was not the bot's own (token 28 of the recording).
TOKENS = {19: 27, 20: 27, 22: 29, 24: None, 27: 30, 29: 30}
BOT = 28
STATUS_ONLY = "large body shortened in the recording"


@dataclass
class Outcome:
    """What became of the exchanges."""

    same: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    in_part: Counter[str] = field(default_factory=Counter)
    different: list[str] = field(default_factory=list)

    @property
    def all(self) -> int:
        return self.same + len(self.different) + self.in_part.total() + self.skipped.total()


class Detector:
    """The function of the recording; it stops before each photo until it may go on."""

    def __init__(self, calls: list[dict[str, Any]]):
        answers = [call["response"] for call in calls if call["path"] == "/"]
        self.answers = answers[:3]
        self.called, self.allowed = 0, threading.Semaphore(0)

    def __call__(self, photo: bytes) -> Any:
        assert self.allowed.acquire(timeout=20)
        self.called += 1
        return self.answers[(self.called - 1) % 3]


class Replay:
    """Plays the recording to a server and compares.

    Args:
        folder: ../shared/cvat/recordings/guide_c.
        server: a fresh stand-in.
        receiver: what its webhooks are sent to.
    """

    def __init__(self, folder: Path, server: Server, receiver: Receiver):
        self.folder, self.server, self.receiver = folder, server, receiver
        entries = json.loads((folder / "guide_c_http.json").read_text())
        self.exchanges = [entry for entry in entries if "request" in entry]
        self.same, self.outcome = Sameness(), Outcome()
        self.sessions: dict[str, str] = {}
        self.tokens: dict[int, str] = {}
        self.files = dict(recording.files(folder))
        self.full = {hashlib.sha256(raw).hexdigest(): raw for raw in recording.full(folder)}
        self.detector = Detector(json.loads((folder / "guide_c_function_calls.json").read_text()))
        self._prepare()

    def _prepare(self) -> None:
        """What stood before the recording began: an admin, a project of his, a function."""
        state = self.server.state
        for name in ("bridge", "annotator", "outsider"):
            del state.users[self.server.users[name].id]
        state.tokens.clear()
        foreign = self.server.add_project("of another owner", user="admin")
        self.same.pair("project", 60, foreign.id)
        listed = next(e for e in self.exchanges if e["request"]["path"] == "/api/lambda/functions")["response"]["body"]
        self.server.add_function("quadrat-corners", self.detector, listed[0]["labels_v2"])
        function = state.functions["quadrat-corners"]
        function.name, function.description = listed[0]["name"], listed[0]["description"]

    def run(self) -> Outcome:
        for place, exchange in enumerate(self.exchanges):
            if exchange["response"] is None:  # the server was killed meanwhile
                self.outcome.skipped["no answer in the recording"] += 1
                continue
            self._before(place, exchange)
            status, headers, raw = self._send(exchange)
            self._after(exchange, status, headers, raw)
            self._judge(exchange, status, headers, raw)
        return self.outcome

    def _before(self, place: int, exchange: dict[str, Any]) -> None:
        number, path = exchange["n"], exchange["request"]["path"]
        body = exchange["response"]["body"]
        if isinstance(body, dict) and set(body) == {"rq_id"}:
            self.server.state.polls = recording.started_after(self.exchanges[place + 1 :], body["rq_id"])
        if number == 22:  # the recording waits until the token has expired
            token = next(token for token in self.server.state.tokens.values() if token.name == "puller-bot")
            token.expiry = token.created
        if path.startswith("/api/lambda/requests") and exchange["request"]["method"] == "GET" and body:
            self._let_on(body[0] if isinstance(body, list) else body)
        if number == 398:
            self.detector.called = 0
            self.detector.allowed.release()
        if number == 178:  # asked before the last two deliveries of the recording's step were there, in time or not
            self.server.settle()
        if number in (509, 516):  # short while a webhook leads to a receiver that stalls; else a busy machine is none
            self.server.state.delivery_timeout_s = 1.0 if number == 509 else 10.0
        if number == 515:
            wait_for(lambda: all(self._tries(hook) >= 2 for hook in (65, 66, 67, 68)))

    def _tries(self, recorded: int) -> int:
        number = self.same.here("webhook", recorded)
        return sum(sent["webhook_id"] == number for sent in list(self.server.state.deliveries.values()))

    def _let_on(self, wanted: dict[str, Any]) -> None:
        """Let the function work until its request looks as it did when the recording asked."""
        [request] = self.server.state.lambda_requests.values()
        done = 3 if wanted["status"] == "finished" else {None: 0, 33: 1, 66: 2}[wanted["progress"]]
        while self.detector.called % 3 < done and request["status"] != "finished":
            before = self.detector.called
            self.detector.allowed.release()
            wait_for(lambda: self.detector.called > before)  # noqa: B023
            if self.detector.called % 3 == 0:
                break
        wait_for(lambda: (request["status"], request["progress"]) == (wanted["status"], wanted["progress"]))

    def _headers(self, exchange: dict[str, Any]) -> dict[str, str]:
        number = exchange["n"]
        sent = exchange["request"]["headers"]
        kept = ("Content-Type", "Upload-Start", "Upload-Multiple", "Upload-Finish", "Upload-Offset", "Upload-Length")
        kept += ("Tus-Resumable", "Upload-Metadata")
        headers = {name: value for name, value in sent.items() if name in kept}
        if "Authorization" in sent:
            token = TOKENS.get(number, BOT)
            headers["Authorization"] = f"Bearer {self.tokens[token] if token else 'nonsense'}"
        if "Cookie" in sent:
            who = next(name for last, name in SESSIONS if number <= last)
            headers["Cookie"] = f"sessionid={self.sessions[who]}"
        return headers

    def _body(self, exchange: dict[str, Any]) -> bytes | None:
        request = exchange["request"]
        body = request.get("body")
        if body is None:
            return None
        if exchange["n"] == 47:
            return json.dumps({"name": "quadrat-grid", "labels": recording.grid_labels(self.folder)}).encode()
        if exchange["n"] == 199:
            body = next(entry for entry in self.exchanges if entry["n"] == 197)["request"]["body"]
        if exchange["n"] == 505:
            return json.dumps({"shapes": [], "x": "a" * 30_000_000}).encode()
        if isinstance(body, dict) and "multipart" in body:
            return recording.multipart(body["multipart"], request["headers"]["Content-Type"], self.files)
        if isinstance(body, dict) and body.get("binary"):
            return self.files[body["sha256"]]
        if isinstance(body, dict) and set(body) == {"text"}:
            return str(body["text"]).encode()
        if "password" in body:
            body = {**body, "password": "wrong" if exchange["n"] == 7 else PASSWORD}
        if "password1" in body:
            body = {**body, "password1": PASSWORD, "password2": PASSWORD}
        text = json.dumps(self.same.translate(body))
        return text.replace("127.0.0.1:18090", self.receiver.address).encode()

    def _send(self, exchange: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        request = exchange["request"]
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        path = self._path(request["path"])
        connection.request(request["method"], path, self._body(exchange), self._headers(exchange))
        answer = connection.getresponse()
        raw = answer.read()
        connection.close()
        names = {name.lower() for name, _ in answer.getheaders()}
        return answer.status, {name: answer.getheader(name, "") for name in names}, raw

    def _path(self, recorded: str) -> str:
        key = re.search(r"(\d+)_([0-9a-f-]{36})", recorded)
        uuid = re.search(r"import%26target%3D\w+%26id%3D([0-9a-f-]{36})", recorded)
        path = self.same.translate_text(recorded)
        if key:
            path = path.replace(key[0], self.same.here("upload", key[0]))
        return path.replace(uuid[1], self.same.here("uuid", uuid[1])) if uuid else path

    def _after(self, exchange: dict[str, Any], status: int, headers: dict[str, str], raw: bytes) -> None:
        """Remember the secrets of this run."""
        if "set-cookie" in headers and status in (200, 201) and "/auth/" in exchange["request"]["path"]:
            found = re.search("sessionid=([^;]+)", headers["set-cookie"])
            if found and "username" in (exchange["request"].get("body") or {}):
                self.sessions[exchange["request"]["body"]["username"]] = found[1]
        if exchange["request"]["path"] == "/api/auth/access_tokens" and status == 201:
            self.tokens[exchange["response"]["body"]["id"]] = json.loads(raw)["value"]
        there = exchange["response"]["headers"]
        if "upload-filename" in there:
            self.same.pair("upload", there["upload-filename"], headers["upload-filename"])
        body = exchange["response"]["body"]
        if isinstance(body, dict) and "action=import" in body.get("rq_id", "") and status == 202:
            old, new = (re.search("id=([0-9a-f-]{36})", text) for text in (body["rq_id"], json.loads(raw)["rq_id"]))
            assert old
            assert new
            self.same.pair("uuid", old[1], new[1])

    def _judge(self, exchange: dict[str, Any], status: int, headers: dict[str, str], raw: bytes) -> None:
        recorded = exchange["response"]
        name = f"{exchange['n']} {exchange['request']['method']} {exchange['request']['path'][:90]}"
        found, in_part = self._compare(exchange, recorded, status, headers, raw)
        if found:
            self.outcome.different.append(f"{name}: {'; '.join(found[:4])}")
        elif in_part:
            self.outcome.in_part[in_part] += 1
        else:
            self.outcome.same += 1

    def _compare(
        self, exchange: dict[str, Any], recorded: dict[str, Any], status: int, headers: dict[str, str], raw: bytes
    ) -> tuple[list[str], str]:
        if status != recorded["status"]:
            return [f"recorded {recorded['status']}, here {status} {raw[:200]!r}"], ""
        there, here = recorded["headers"].get("content-type"), headers.get("content-type")
        if there != here:
            return [f"content type recorded {there}, here {here}"], ""
        found = []
        for header in ("location", "upload-offset", "www-authenticate", "tus-resumable"):
            if header in recorded["headers"] and header != "location":
                found += self.same.differences(recorded["headers"][header], headers.get(header), at=header)
        body = recorded["body"]
        if body is None:
            return found + ([f"body {raw[:60]!r}"] if raw else []), ""
        if isinstance(body, dict) and body.get("truncated"):
            if body["sha256"] not in self.full:
                return found, STATUS_ONLY
            body = json.loads(self.full[body["sha256"]])
        if isinstance(body, dict) and body.get("binary"):
            return self._compare_bytes(exchange, body, raw, found)
        if isinstance(body, dict) and set(body) == {"text"}:
            return found + ([] if raw.decode() == body["text"] else [f"text {raw[:80]!r}"]), ""
        return found + self.same.differences(
            body, json.loads(raw), recording.collection(exchange["request"]["path"])
        ), ""

    def _compare_bytes(
        self, exchange: dict[str, Any], body: dict[str, Any], raw: bytes, found: list[str]
    ) -> tuple[list[str], str]:
        path = exchange["request"]["path"]
        if hashlib.sha256(raw).hexdigest() == body["sha256"]:
            return found, ""
        if "quality=compressed" in path or "type=chunk" in path:
            return found, "bytes that depend on the JPEG encoder or the zip writer"
        if body["sha256"] in self.files and raw[:2] == b"PK":
            return found + same_zip(self.files[body["sha256"]], raw, self.same), ""
        return [*found, f"{len(raw)} bytes, recorded {body['bytes']}"], ""
