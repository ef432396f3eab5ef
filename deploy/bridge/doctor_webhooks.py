"""What `doctor` looks at of the webhooks: whether each is there once, is right, and reaches the bridge."""

from __future__ import annotations

import json
from collections import Counter

import urllib3

from data_engineering import cvat_webhooks
from data_engineering.cvat_webhooks import Pinged, Webhook
from deploy.bridge.events import EVENTS, WEBHOOK
from deploy.bridge.finding import BROKEN, OK, SKIPPED, WARNING, Case, Finding, Findings
from deploy.bridge.init import target_of
from deploy.bridge.settings import PUBLIC

_CONNECT_S, _READ_S = 5.0, 10.0
_MOST_BYTES = 10_000
_INIT = "python -m deploy.bridge init sets it right"
_REACH = (
    "start the bridge where CVAT reaches it (--host 0.0.0.0), and give that address to init --url; CVAT's own proxy "
    "lets nothing through to a private address unless CVAT's environment has SMOKESCREEN_OPTS=--allow-address=IP"
)
_FIXES = {
    401: f"the webhook has no secret: {_INIT}",
    403: f"start the bridge anew, with the newest bridge.env; if it still knows another secret, {_INIT}",
    404: "something else answers there: give the bridge's address to init --url",
    407: _REACH,
    502: _REACH,
    504: "it took over 10 s: look whether the bridge's disk, or a proxy before it, is slow or stuck",
}


def webhooks(case: Case) -> Findings:
    """Whether each project has one webhook to the bridge, switched on, with all events."""
    known = {key: _to_a_bridge(case, key) for key in case.projects}
    urls = Counter(hook.url for hooks in known.values() for hook in hooks)
    case.hook_url = target_of(case.url) if case.url else max(urls, key=urls.__getitem__, default="")
    for key, hooks in known.items():
        name = case.projects[key].name
        ours = [hook for hook in hooks if hook.url == case.hook_url]
        if ours:
            case.hooks[key] = ours[0]
            yield _one(name, ours[0])
        else:
            where = case.hook_url or "the bridge"
            yield Finding(BROKEN, f"project {name} has no webhook to {where}", f"{_INIT} (--url is that of the bridge)")
        for hook in ours[1:]:
            fix = f"remove webhook {hook.id} in CVAT: each delivery comes twice, and is taken once"
            yield Finding(WARNING, f"project {name}: webhook {hook.id} says the same as {ours[0].id}", fix)
        for hook in hooks:
            if hook.url != case.hook_url:
                fix = f"remove webhook {hook.id} in CVAT, unless a second bridge is meant to be there"
                yield Finding(WARNING, f"project {name}: webhook {hook.id} leads elsewhere, to {hook.url}", fix)


def _to_a_bridge(case: Case, key: str) -> list[Webhook]:
    hooks = cvat_webhooks.of_project(case.client, case.projects[key])
    return [hook for hook in hooks if hook.url.endswith(WEBHOOK)]


def _one(name: str, hook: Webhook) -> Finding:
    words = f"project {name}: webhook {hook.id} to {hook.url}"
    if not hook.is_active:
        return Finding(BROKEN, f"{words} is switched off", f"{_INIT}, or switch it on in CVAT")
    if lacking := sorted(set(EVENTS) - hook.events):
        return Finding(BROKEN, f"{words} does not tell {', '.join(lacking)}", _INIT)
    if hook.url.startswith("https:") and not hook.checks_certificate:
        fix = "tick SSL verification in CVAT; a certificate of your own must be known to CVAT then"
        return Finding(WARNING, f"{words}: CVAT sends photos' names to whoever claims to be there", fix)
    return Finding(OK, words)


def pings(case: Case) -> Findings:
    """Whether what CVAT sends arrives, with the right secret."""
    if not case.may_write:
        yield Finding(SKIPPED, "needs a token that may write, to have CVAT send a ping")
        return
    came: dict[Pinged, list[str]] = {}
    for key, hook in case.hooks.items():
        came.setdefault(cvat_webhooks.ping(case.client, hook), []).append(case.projects[key].name)
    for ping, names in came.items():
        projects = f"project{'s' if len(names) > 1 else ''} {', '.join(names)}"
        if 200 <= ping.status < 300:
            yield Finding(OK, f"{projects}: a ping came through")
        else:
            fix = _FIXES.get(ping.status, "read the bridge's log: it has the reason of what it answered")
            yield Finding(BROKEN, f"{projects}: a ping was answered {ping.status}: {ping.words or 'nothing'}", fix)


def address(case: Case) -> Findings:
    """Whether the bridge answers, seen from here, under each address that it is said to have."""
    hook_base = case.hook_url.removesuffix(WEBHOOK)
    bases = {hook_base: "CVAT", case.settings.public_url: f"browsers ({PUBLIC})"}
    bases.pop("", None)
    if not bases:
        yield Finding(SKIPPED, "needs a webhook, which says where the bridge is, or --url")
    for base, whose in bases.items():
        yield _health(base, whose)


def _health(base: str, whose: str) -> Finding:
    words = f"{base}/healthz, as for {whose},"
    try:
        with urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(_CONNECT_S, _READ_S)) as pool:
            response = pool.request("GET", f"{base}/healthz", redirect=False, preload_content=False)
            body = response.read(_MOST_BYTES)
    except urllib3.exceptions.HTTPError as error:
        fix = "well if only CVAT is to reach it and a ping came through; else start the bridge, or mend the address"
        return Finding(WARNING, f"{words} is not to be reached from here ({type(error).__name__})", fix)
    said = _status(body)
    if response.status == 200 and said == "ok":
        return Finding(OK, f"{words} says ok")
    if said:
        return Finding(BROKEN, f"{words} says: {said}", "start the bridge anew, and read its log")
    fix = f"give the bridge's address to init --url, or to {PUBLIC}; a proxy before it must let /healthz through"
    return Finding(BROKEN, f"{words} is answered {response.status}, and not by a bridge", fix)


def _status(body: bytes) -> str:
    try:
        return str(json.loads(body)["status"])
    except (ValueError, KeyError, TypeError):
        return ""
