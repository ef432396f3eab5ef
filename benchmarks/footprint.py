"""What one job needs, measured in a process that does nothing else; `benchmarks.requirements` starts one a row.

    python -m benchmarks.footprint '{"job": "predict", "photo": "reef.jpg", "weights": null, "device": "cpu"}'

The last line is one JSON object, see `Footprint`.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

GIB = 2**30
ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "coral_seg_yolo" / "configs"
OUT_OF_MEMORY = 7
"""Exit status of a job that the GPU's memory was too small for."""
PARAMETER_BYTES = 20
"""In training: weight, gradient, two moments of AdamW and the running average, 4 bytes each."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What came of a job.

    Attributes:
        seconds: of the fastest photo or step after the first: other work on the machine only adds.
        core_seconds: least processor time of one, all threads together; other work changes it less.
        ready_s: from the start of the process until the first photo or step could begin.
        memory_gib: most main memory that the process held at once, and what processes of its own held beside it.
        gpu_gib: most GPU memory that PyTorch's tensors held at once; `None` without a GPU.
        gpu_reserved_gib: most that PyTorch took from the GPU for them.
        kept_gib: what autograd keeps of a training step, see `Kept`; in proportion to the photos of a step; `None`
            for other jobs.
        fixed_gib: what training holds whatever the number of photos: see `PARAMETER_BYTES`.
    """

    seconds: float
    core_seconds: float
    ready_s: float
    memory_gib: float
    gpu_gib: float | None = None
    gpu_reserved_gib: float | None = None
    kept_gib: float | None = None
    fixed_gib: float | None = None


class Clock:
    """Times what happens between calls of `lap`, in wall and in processor time."""

    def __init__(self) -> None:
        self.ready_s = time.time() - _started()
        self.laps: list[tuple[float, float]] = []
        self.start()

    def start(self) -> None:
        """Begin a lap."""
        self._from = time.perf_counter(), _core_seconds()

    def lap(self) -> None:
        """End a lap and begin the next."""
        now = time.perf_counter(), _core_seconds()
        self.laps.append((now[0] - self._from[0], now[1] - self._from[1]))
        self._from = now

    def footprint(self, *kept_and_fixed_gib: float) -> Footprint:
        """All laps but the first, and the memory of the process so far."""
        laps = self.laps[1:] or self.laps
        wall, core = (min(column) for column in zip(*laps, strict=True))
        memory = (_peak_bytes() + _bytes_of_children()) / GIB
        return Footprint(wall, core, self.ready_s, memory, *_gpu_gib(), *kept_and_fixed_gib)


def render(count: int, size_px: int) -> Footprint:
    """Render photographs with all that lies beside them into the working folder, one after the other."""
    from data_engineering.render import folder
    from data_engineering.render.settings import Settings

    clock = Clock()
    for number in range(1, count + 1):
        folder.render_folder("renders", number, 11, Settings(size_px=size_px), workers=1)
        clock.lap()
    return clock.footprint()


def predict(photo: str, weights: str | None, device: str, tile_px: int = 0, rounds: int = 5) -> Footprint:
    """A JPEG to colonies."""
    from coral_seg_yolo import model
    from quadrat import images

    predictor = model.load(weights, device, tile_px=tile_px)
    data = Path(photo).read_bytes()
    return _repeated(lambda: predictor.predict(images.decode(data)), rounds)


def handler(
    photo: str,
    weights: str | None,
    device: str,
    rounds: int = 5,
    function: str = "coral_seg_yolo/deploy/pth-yolo-coralseg",
    more: dict[str, Any] | None = None,
) -> Footprint:
    """A request to its answer, through a function that ships; `more` is what the request holds beside the photo."""
    import nuclio_sdk

    os.environ.update(MODEL_PATH=weights or "", DEVICE=device)
    context = nuclio_sdk.Context(nuclio_sdk.Logger("ERROR"))
    main = _module(ROOT / function / "nuclio" / "main.py")
    main.init_context(context)
    body = {"image": base64.b64encode(Path(photo).read_bytes()).decode(), **(more or {})}

    def ask() -> None:
        answer = main.handler(context, nuclio_sdk.Event(body=body, method="POST"))
        if answer.status_code != 200:
            raise RuntimeError(f"the function answered {answer.status_code}: {answer.body}")

    return _repeated(ask, rounds)


def train(data: str, config: str, device: str, steps: int = 3, batch: int = 8) -> Footprint:
    """Steps of a real training; a step is one batch, with loading it."""
    from coral_seg_yolo import train as stage
    from yolo import trainer

    kept, clocks = Kept(), []

    class Timed(trainer.Segment):
        """Ends after so many steps."""

        def __init__(self, *args: Any, **kwargs: Any):
            super().__init__(*args, **kwargs)
            self.add_callback("on_train_epoch_start", lambda _: clocks.append(Clock()))
            self.add_callback("on_train_batch_start", lambda _: kept.clear())
            self.add_callback("on_train_batch_end", _step)

    def _step(running: Any) -> None:
        if running.batch_size != batch:  # ultralytics halves it where memory runs out
            sys.exit(OUT_OF_MEMORY)
        _synchronize()
        kept.end_step(running.model)
        clocks[0].lap()
        if len(clocks[0].laps) == steps:
            raise trainer.Stopped

    trainer.TRAINERS["segment"] = Timed
    overrides = ["pretrained=", "level=", "epochs=100", f"batch={batch}", "plots=false", "cache=", "warmup_epochs=0"]
    with kept.counting():
        stage.main(Path(data), config=CONFIGS / config, overrides=overrides, name="footprint", device=device)
    return clocks[0].footprint(kept.most / GIB, kept.fixed / GIB)


class Kept:
    """Counts in bytes what a training step must hold, on a processor as on a GPU, when its backward pass begins.

    That is what autograd keeps, each storage once (`most`, without the weights), and `PARAMETER_BYTES` a parameter
    (`fixed`). The tensors of one moment, PyTorch's own context and what fragmentation wastes come on top.
    """

    def __init__(self) -> None:
        self.most = self.fixed = 0
        self._storages: dict[int, int] = {}

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Within the block every tensor that autograd keeps is counted."""
        import torch

        with torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor):
            yield

    def _keep(self, tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        self._storages[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()

    def clear(self) -> None:
        """Begin a step."""
        self._storages.clear()

    def end_step(self, network: Any) -> None:
        """Take the step if it kept more than those before."""
        parameters = list(network.parameters())
        weights = {parameter.untyped_storage().data_ptr() for parameter in parameters}
        self.most = max(self.most, sum(size for at, size in self._storages.items() if at not in weights))
        self.fixed = PARAMETER_BYTES * sum(parameter.numel() for parameter in parameters)


def _repeated(run: Callable[[], object], rounds: int) -> Footprint:
    clock = Clock()
    for _ in range(rounds + 1):
        run()
        clock.lap()
    return clock.footprint()


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _started() -> float:
    """When this process was started, in seconds of `time.time`."""
    return float(psutil.Process().create_time())


def _core_seconds() -> float:
    """Processor time so far, that of the processes which load photos included."""
    children = (child.cpu_times() for child in psutil.Process().children())
    return time.process_time() + sum(float(times.user + times.system) for times in children)


def _bytes_of_children() -> int:
    """Memory that no other process shares, of each process that this one started."""
    return sum(int(child.memory_full_info().uss) for child in psutil.Process().children())


def _peak_bytes() -> int:
    """Most main memory this process held. Not `ru_maxrss` where it can be avoided: that counts the parent's too."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text("utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _gpu_gib() -> tuple[float | None, float | None]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None, None
    return torch.cuda.max_memory_allocated() / GIB, torch.cuda.max_memory_reserved() / GIB


def _synchronize() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _offer_to_the_oom_killer() -> None:
    """Where main memory runs out, the kernel ends this process and no other."""
    with contextlib.suppress(OSError):  # no Linux
        Path("/proc/self/oom_score_adj").write_text("1000")


JOBS: dict[str, Callable[..., Footprint]] = {"render": render, "predict": predict, "handler": handler, "train": train}


if __name__ == "__main__":
    _offer_to_the_oom_killer()
    arguments = json.loads(sys.argv[1])
    with contextlib.redirect_stdout(sys.stderr):
        try:
            result = JOBS[arguments.pop("job")](**arguments)
        except Exception as error:
            if "out of memory" in str(error).lower():
                sys.exit(OUT_OF_MEMORY)
            raise
    print(json.dumps(asdict(result)))
