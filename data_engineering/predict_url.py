"""Ask a served function about the photos of a FiftyOne dataset, and put its answers into a field.

    python -m data_engineering.predict_url http://127.0.0.1:8070/functions/pth-yolo-coralseg reef_2024 --field yolo

The function is one of this project's (`deploy.host`, Nuclio) or any that answers as CVAT's detectors do. Photos that
have something in the field are left out, so that the command goes on where it was cut short; --overwrite asks about
all. QUADRAT_TOKEN holds the host's token, where it wants one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from data_engineering import function_url
from data_engineering.function_url import AnswerError, FunctionError
from quadrat import images
from quadrat.formats import cvat_answer
from quadrat.shapes import Shape

if TYPE_CHECKING:
    from data_engineering.labels import fo


@dataclass(slots=True)
class Filled:
    """What was done.

    Attributes:
        photos: number of those that got an answer.
        shapes: number of shapes in them.
        had_some: number of photos that had something in the field, and were left out.
        failed: a sentence for every photo that got no answer.
    """

    photos: int = 0
    shapes: int = 0
    had_some: int = 0
    failed: list[str] = field(default_factory=list)


def main(
    url: str,
    name: str,
    *,
    field: str,
    threshold: float | None = None,
    tags: Sequence[str] = (),
    overwrite: bool = False,
    workers: int = 2,
    samples: fo.SampleCollection | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Filled:
    """Predict by a function's address.

    Args:
        url: of the function.
        name: of the dataset.
        field: gets the instances; keypoints go to ``<field>_keypoints``.
        threshold: lowest score, 0..1; `None` leaves it to the function.
        tags: only photos with any of these.
        overwrite: ask about photos too that have something in the field; its evaluations go.
        workers: requests at the same time.
        samples: only these of the dataset.
        progress: told the number of photos that are done, and of all; `None` shows a progress bar.

    Raises:
        FunctionError: the function cannot be used.
        AnswerError: the first photo gets no answer, so that the function itself must be wrong.
        DatasetError: no such dataset, or a field that holds something else.
    """
    function_url.check(url)
    from data_engineering import dataset

    whole = dataset.load(name)
    view = whole.view() if samples is None else whole.select(samples.values("id"))  # which may hide shapes
    view = view.match_tags(list(tags)) if tags else view
    done = Filled()
    ids, paths = _wanted(whole, view, field, overwrite, done)
    report = progress or _bar(len(ids))
    for count, (sample_id, path, answer) in enumerate(_answers(url, ids, paths, threshold, workers), 1):
        if isinstance(answer, (FunctionError, AnswerError)):
            if isinstance(answer, FunctionError) or not done.photos:
                raise answer
            done.failed.append(f"{path}: {answer}")
        else:
            done.shapes += _put(whole[sample_id], field, answer)
            done.photos += 1
        report(count, len(ids))
    if done.photos:
        dataset.set_up_app(whole, field)
    return done


# ---------------------------------------------------------------------------------------------- the dataset's side


def _wanted(
    whole: fo.Dataset, view: fo.DatasetView, field: str, overwrite: bool, done: Filled
) -> tuple[list[str], list[str]]:
    """Ids and paths of the photos to ask about."""
    from data_engineering import dataset
    from data_engineering.labels import DatasetError, fo

    if not field.isidentifier() or field.startswith(dataset.GROUND_TRUTH):
        raise DatasetError(f"field {field!r} is not for predictions: give another name of letters, digits and _")
    own = [f for f in (field, f"{field}_keypoints") if whole.has_field(f)]
    for one in own:
        if getattr(whole.get_field(one), "document_type", None) not in (fo.Detections, fo.Keypoints):
            raise DatasetError(f"field {one!r} of dataset {whole.name!r} holds no predictions: give another name")
    if overwrite:
        for key in whole.list_evaluations(pred_field=field):
            whole.delete_evaluation(key)
    elif own:
        count = view.count()
        view = view.match(fo.ViewExpression.all([~fo.ViewField(one).exists() for one in own]))
        done.had_some = count - view.count()
    ids, paths = view.values(["id", "filepath"])
    return ids, paths


def _answers(
    url: str, ids: Sequence[str], paths: Sequence[str], threshold: float | None, workers: int
) -> Iterator[tuple[str, str, _Answer | FunctionError | AnswerError]]:
    def one(path: str) -> _Answer | FunctionError | AnswerError:
        try:
            photo = Path(path).read_bytes()
            size_wh = images.read_size_wh(path)
            return _Answer(cvat_answer.read(function_url.ask(url, photo, threshold), size_wh), size_wh)
        except (FunctionError, AnswerError) as error:
            return error
        except (OSError, ValueError, KeyError, TypeError) as error:
            return AnswerError(f"{type(error).__name__}: {error}")

    todo = iter(zip(ids, paths, strict=True))
    with ThreadPoolExecutor(workers) as pool:
        while some := list(islice(todo, 8 * workers)):
            found = pool.map(one, (path for _, path in some))
            yield from ((sample_id, path, answer) for (sample_id, path), answer in zip(some, found, strict=True))


@dataclass(frozen=True, slots=True)
class _Answer:
    shapes: tuple[Shape, ...]
    size_wh: tuple[int, int]


def _put(sample: fo.Sample, field: str, answer: _Answer) -> int:
    from data_engineering import labels
    from quadrat.shapes import Instance, Keypoints

    instances = [shape for shape in answer.shapes if isinstance(shape, Instance)]
    points = [shape for shape in answer.shapes if isinstance(shape, Keypoints)]
    if instances or not points:
        sample[field] = labels.detections(instances, answer.size_wh)
    if points:
        sample[f"{field}_keypoints"] = labels.keypoints(points, answer.size_wh)
    sample.save()
    return len(answer.shapes)


def _bar(total: int) -> Callable[[int, int], None]:
    from tqdm import tqdm

    bar = tqdm(total=total, desc="predict", unit="photo", disable=not total)

    def advance(count: int, of: int) -> None:
        bar.update(count - bar.n)
        if count == of:
            bar.close()

    return advance


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m data_engineering.predict_url", description=__doc__.splitlines()[0])
    parser.add_argument("url", help="of the function, such as http://127.0.0.1:8070/functions/pth-yolo-coralseg")
    parser.add_argument("name", metavar="dataset", help="FiftyOne dataset")
    parser.add_argument("--field", required=True, help="gets the shapes; keypoints go to FIELD_keypoints")
    parser.add_argument("--threshold", type=float, help="lowest score, 0..1 (default: the function's)")
    parser.add_argument("--tags", nargs="+", default=(), metavar="TAG", help="only photos with any of these tags")
    parser.add_argument("--overwrite", action="store_true", help="ask about photos too that have something there")
    parser.add_argument("--workers", type=int, default=2, help="requests at the same time (default 2)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        outcome = main(**vars(_parse(None)))
    except (ValueError, OSError) as error:
        sys.exit(f"predict_url: {error}")
    print(f"{outcome.photos} photos, {outcome.shapes} shapes; {outcome.had_some} photos had some before")
    for sentence in outcome.failed:
        print(sentence, file=sys.stderr)
    sys.exit(1 if outcome.failed else 0)
