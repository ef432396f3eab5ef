"""Look through a dataset in the FiftyOne app, and send what is to be corrected to CVAT.

    python -m data_engineering.review                         # the dataset of the last demo
    python -m data_engineering.review reef_2024 --port 5152
    python -m data_engineering.review reef_2024 --send review fix

Makes saved views of what is worth a look (docs/review.md), sets colours and sidebar, and opens the app until Ctrl-C.
Photos, or shapes, that got the tag `review` or `fix` there become a task in CVAT by --send, with their shapes, and come
back by the next pull. CVAT_URL and CVAT_TOKEN (or CVAT_USERNAME and CVAT_PASSWORD) say where CVAT is.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data_engineering.review_send import SentTask

DEMO = "quadratseg-demo"
PLUGIN = Path(__file__).parent / "plugin"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a review finds.

    Attributes:
        views: name of each saved view and the number of its photos.
        steps: names of what was computed anew.
        notes: a sentence for everything that was left out.
    """

    views: dict[str, int]
    steps: tuple[str, ...]
    notes: tuple[str, ...]


def main(
    name: str = DEMO,
    *,
    address: str = "127.0.0.1",
    port: int = 5151,
    browser: bool = True,
    serve: bool = True,
    predictions: Sequence[str] | None = None,
    anew: bool = False,
) -> Prepared:
    """Prepare a dataset and serve the app until Ctrl-C.

    Args:
        name: of the dataset.
        address: to listen on; anything but loopback lets the whole network see and change the dataset.
        port: to listen on.
        browser: open a browser window.
        serve: open the app; else only prepare.
        predictions: the two segmenters' fields; by default those that begin with yolo or dino, else the only two.
        anew: compute also what seems unchanged.

    Raises:
        DatasetError: no such dataset, or no such field.
    """
    use_plugin()
    prepared = prepare(name, predictions, anew=anew)
    for line in _told(prepared):
        print(line, flush=True)
    if serve:
        _serve(name, address, port, browser)
    return prepared


def prepare(name: str, predictions: Sequence[str] | None = None, *, anew: bool = False) -> Prepared:
    """Compute what a review needs, make the saved views, set up the app; see `main`.

    Called again it computes only what changed.

    Raises:
        DatasetError: no such dataset, or no such field.
    """
    from data_engineering import dataset, review_app, review_brain, review_views
    from data_engineering.review_fields import choose, fields_of

    samples = dataset.load(name)
    if predictions:
        choose(samples, predictions)
    done = review_brain.compute(samples, anew=anew)
    fields = fields_of(samples)
    views = review_views.save_views(samples, fields)
    review_app.set_up_app(samples, fields)
    return Prepared(views, tuple(done.steps), tuple(done.notes))


def use_plugin(links: Path | None = None) -> None:
    """Let FiftyOne find the project's plugin, unless ``FIFTYONE_PLUGINS_DIR`` names another folder.

    A person's own plugins in FiftyOne's default folder stay in reach by a folder of links.

    Args:
        links: folder for them; `None` for one in the project's ``.cache``.

    Raises:
        OSError: the folder of links cannot be made.
    """
    if "FIFTYONE_PLUGINS_DIR" in os.environ:
        return
    own = Path.home() / "fiftyone" / "__plugins__"
    folder = PLUGIN
    if own.is_dir():
        folder = links or Path(__file__).parents[1] / ".cache" / "plugins"
        folder.mkdir(parents=True, exist_ok=True)
        for link, target in (("quadratseg", PLUGIN), ("own", own)):
            if not (folder / link).exists():
                (folder / link).symlink_to(target, target_is_directory=True)
    os.environ["FIFTYONE_PLUGINS_DIR"] = str(folder)


def _serve(name: str, address: str, port: int, browser: bool) -> None:
    from data_engineering import dataset
    from data_engineering.review_views import DRAWN, TO_REVIEW

    samples = dataset.load(name)
    first = next((view for view in (TO_REVIEW, DRAWN) if view in samples.list_saved_views()), None)
    view = samples.load_saved_view(first) if first else samples.view()
    colours = samples.app_config.color_scheme  # of itself the app takes it where it opens a whole dataset
    session = dataset.fo.launch_app(view=view, address=address, port=port, remote=not browser, color_scheme=colours)
    print(f"FiftyOne app: http://{address}:{port}/datasets/{name}   (Ctrl-C ends it)", flush=True)
    try:
        session.wait(-1)
    except KeyboardInterrupt:
        session.close()


def _told(prepared: Prepared) -> list[str]:
    notes = [f"left out {note}" for note in prepared.notes]
    views = [f"{count:>7} photos  {view}" for view, count in prepared.views.items()]
    return [*notes, "saved views:" if views else "no saved views: nothing to look at yet", *views]


def told_sent(sent: Sequence[SentTask], tags: Sequence[str]) -> list[str]:
    """What was sent, or would be, in words."""
    if not sent:
        return [f"no photo has a tag {' or '.join(tags)} that was not sent yet"]
    return [
        f"{'would send' if one.task_id is None else 'sent'} {one.photos} photos with {one.shapes} shapes to project "
        f"{one.project!r}, task {one.name!r}{'' if one.task_id is None else f' (id {one.task_id})'}"
        + (f", subset {one.subset!r}" if one.subset else "")
        for one in sent
    ]


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m data_engineering.review", description=__doc__.splitlines()[0])
    parser.add_argument("name", metavar="dataset", nargs="?", default=DEMO, help=f"FiftyOne dataset (default {DEMO})")
    parser.add_argument("--predictions", nargs="+", metavar="FIELD", help="the two segmenters (default yolo…, dino…)")
    parser.add_argument("--anew", action="store_true", help="compute also what seems unchanged")
    app = parser.add_argument_group("app")
    app.add_argument("--address", default="127.0.0.1", help="other than loopback: everybody there may change the data")
    app.add_argument("--port", type=int, default=5151)
    app.add_argument("--no-browser", dest="browser", action="store_false", help="open no browser window")
    app.add_argument("--no-serve", dest="serve", action="store_false", help="only prepare, open no app")
    cvat = parser.add_argument_group("to CVAT")
    cvat.add_argument("--send", nargs="+", metavar="TAG", help="make a task of photos with these tags, and end")
    cvat.add_argument("--project", help="in CVAT, by name (default: where the photos come from)")
    cvat.add_argument("--task", help="name of the task (default: correction, dataset and date)")
    cvat.add_argument("--field", default="ground_truth", help="shapes to send (default: ground_truth)")
    cvat.add_argument("--dry-run", action="store_true", help="say what would be sent")
    return parser.parse_args(argv)


def _run(given: argparse.Namespace) -> None:
    if given.send:
        from data_engineering import review_send

        sent = review_send.send(
            given.name, given.send, project=given.project, task=given.task, field=given.field, dry_run=given.dry_run
        )
        print("\n".join(told_sent(sent, given.send)))
        return
    main(
        given.name,
        address=given.address,
        port=given.port,
        browser=given.browser,
        serve=given.serve,
        predictions=given.predictions,
        anew=given.anew,
    )


if __name__ == "__main__":
    try:
        _run(_parse(None))
    except (ValueError, OSError) as error:
        sys.exit(f"review: {error}")
