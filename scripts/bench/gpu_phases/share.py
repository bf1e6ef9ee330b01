"""How many trainings share a device best: as processes, and as threads of one process with a stream each."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gpu_pack import preset

from gpu_phases.common import Result, Task, data, table, wait
from gpu_phases.trainings import worker_context
from tune_seg.config import StudyConfig, parse
from tune_seg.study.ray_tune.gpu_share import Measurement, choose

if TYPE_CHECKING:
    from tune_seg.training import Trainer

_COPIES: Final = (1, 2, 4, 8)
_AUTO: Final = (1, 2, 4)  # what `--gpus-per-trial auto` measures
_SECONDS: Final = 3.0
_STARTING: Final = 25.0  # seconds that the first measurement is thought to take


def run(task: Task, result: Result) -> None:
    """Processes first: as such trials run, and `papers` runs as many as pay."""
    path = data(task).path
    config = _config(task)
    measured: dict[str, dict[int, Measurement]] = {"processes": {}, "threads": {}}
    longest = _STARTING
    for kind, measure in (("processes", _processes), ("threads", _threads)):
        for copies in (1, 2) if task.smoke else _COPIES:
            if not task.smoke and task.left < longest:
                result.add("lacking", f"{copies} {kind}")
                continue
            started = time.perf_counter()
            with result.attempt(f"{copies} {kind}"):
                measured[kind][copies] = measure(task, copies, config, path)
                result.add("measurements", {"as": kind, **vars(measured[kind][copies])})
                result.show("share", _printed(result.get("measurements")))
            longest = time.perf_counter() - started
            if measured["processes"]:
                result.put(**_choices(measured["processes"]))
    if not any(measured.values()):
        causes = [failure["traceback"].strip().splitlines()[-1] for failure in result.get("failed", [])]
        result.put(summary=f"nothing was measured: {'; '.join(dict.fromkeys(causes)) or 'no time'}")


def _printed(measurements: list[dict[str, Any]]) -> str:
    single = measurements[0]["images_per_second"]
    rows = [
        [
            entry["as"],
            str(entry["copies"]),
            f"{entry['images_per_second']:.0f}",
            f"{entry['images_per_second'] / single:.2f}",
            f"{entry['peak_bytes'] / 2**30:.2f}",
        ]
        for entry in measurements
    ]
    return table(["as", "copies", "images a second together", "/ one", "GiB each"], rows)


def _choices(processes: dict[int, Measurement]) -> dict[str, Any]:
    share = choose([found for copies, found in processes.items() if copies in _AUTO])
    best = round(1 / choose(list(processes.values())))
    return {
        "auto": share,
        "workers": best,
        "summary": f"auto gives a trial {share:g}; best {best} processes, {processes[best].images_per_second:.0f} images/s",
    }


def _config(task: Task) -> dict[str, Any]:
    """A row of Hossain's table, because `papers` trains such ones next, with more epochs than there is time for."""
    config = parse(StudyConfig, preset("hossain_table3", "Cityscape", Path(task.out)))
    trial = config.trial({"row": "CE"}).model_dump(mode="json")
    trial["training"] |= {"epochs": 10**6, "threads": 1}
    return trial


def _processes(task: Task, copies: int, config: dict[str, Any], path: Path) -> Measurement:
    context = worker_context()
    ready, answers = context.Barrier(copies), context.SimpleQueue()
    workers = [context.Process(target=_process, args=(task, config, path, ready, answers)) for _ in range(copies)]
    return _together(workers, answers, copies)


def _threads(task: Task, copies: int, config: dict[str, Any], path: Path) -> Measurement:
    """In a process of their own, so that its memory is theirs alone."""
    context = worker_context()
    answers = context.SimpleQueue()
    return _together([context.Process(target=_many, args=(task, copies, config, path, answers))], answers, copies)


def _together(workers: list[Any], answers: Any, copies: int) -> Measurement:
    for worker in workers:
        worker.start()
    # an empty queue would be waited for, also after a worker has died: that is what ends the wait
    while any(worker.is_alive() for worker in workers) and not any(worker.exitcode for worker in workers):
        time.sleep(0.05)
    for worker in workers:
        if worker.exitcode:
            for other in workers:
                other.kill()
            raise RuntimeError(f"one of {copies} trainings side by side ended with status {worker.exitcode}; see the log")
    found = [answers.get() for _ in workers]
    return Measurement(
        copies,
        sum(speed for speed, _, _ in found),
        max(used for _, used, _ in found) // copies,
        max(total for _, _, total in found),
    )


def _process(task: Task, config: dict[str, Any], path: Path, together: Any, answers: Any) -> None:
    """One of several processes: all begin at once, and none leaves before all know how much memory is taken."""
    trainer = _trainer(task, config, path)
    trainer.epoch()
    together.wait()
    speed = _images_per_second(task, trainer)
    used, total = _memory(task)
    together.wait()
    answers.put((speed, used, total))


def _many(task: Task, copies: int, config: dict[str, Any], path: Path, answers: Any) -> None:
    """Threads of this process; on a GPU each has a stream of its own, and another for what it records."""
    import torch

    trainers = [_trainer(task, config, path) for _ in range(copies)]
    wait(torch.device(task.device))  # what they are made of is there before other streams read it
    streams = [_stream(task, trainer) for trainer in trainers]
    for trainer, stream in zip(trainers, streams, strict=True):  # one after the other: each records its step
        with stream:
            trainer.epoch()

    def train(trainer: "Trainer", stream: AbstractContextManager[Any]) -> float:
        with stream:
            return _images_per_second(task, trainer)

    with ThreadPoolExecutor(copies) as threads:
        speed = sum(threads.map(train, trainers, streams))
    answers.put((speed, *_memory(task)))


def _trainer(task: Task, config: dict[str, Any], path: Path) -> "Trainer":
    import torch

    from tune_seg.config import TrialConfig
    from tune_seg.data import PackedData
    from tune_seg.training import Trainer

    return Trainer(parse(TrialConfig, config), PackedData(path), torch.device(task.device))


def _stream(task: Task, trainer: "Trainer") -> AbstractContextManager[Any]:
    import torch

    from tune_seg.training.step import CapturedStep

    if task.device == "cpu":
        return nullcontext()
    assert isinstance(trainer._step, CapturedStep)
    trainer._step._stream = torch.cuda.Stream()  # by default all trainings that a thread makes have one
    return torch.cuda.stream(torch.cuda.Stream())


def _images_per_second(task: Task, trainer: "Trainer") -> float:
    """Of whole epochs, with their evaluation, as a study has them."""
    images = trainer.steps * trainer.config.training.batch_size
    started, epochs = time.perf_counter(), 0
    while time.perf_counter() - started < (0.1 if task.smoke else _SECONDS):
        trainer.epoch()
        epochs += 1
    return epochs * images / (time.perf_counter() - started)


def _memory(task: Task) -> tuple[int, int]:
    """Bytes of the device that are taken, by whomever, and in all; of a CPU, what this process holds."""
    import torch

    if task.device == "cpu":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * 4096, 2**40
    free, total = torch.cuda.mem_get_info()
    return total - free, total
