"""The checkpoint store: what comes back is what was written or nothing, whatever happens to files, disks and writers."""

import math
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.support import CHECKOUT
from tests.support.epoch_results import result
from tune_seg.errors import InputError
from tune_seg.training.checkpoints import WEIGHTS, CheckpointStore, History
from tune_seg.training.result import EpochResult, ScaledScores

HISTORY: History = [
    result(1, f1=math.nan, calibration=math.inf, acw_weight=[1.0, 0.5]),
    result(
        2,
        0.1 + 0.2,
        class_recall=[math.nan, -0.0],
        scaled={
            "temperature": ScaledScores({"nll": 0.5}, 2.0),
            "class_temperature": ScaledScores({}, (math.nan, 1.5), class_recall=(0.5, math.nan)),
            "adjusted": ScaledScores({}, 1.5, tau=0.25, class_recall=(0.1 + 0.2, -0.0)),
        },
        diverged=True,
        weights={},
    ),
]


def state() -> dict[str, Any]:
    """All kinds of tensors that models and optimizers hold."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3, 3, 3, generator=generator).to(memory_format=torch.channels_last)
    return {
        "model": {
            "conv.weight": weight,
            "column": torch.randn(5, 4, generator=generator).t(),
            "half": torch.randn(7, generator=generator).to(torch.bfloat16),
            "double": torch.randn(2, generator=generator, dtype=torch.float64),
            "batches": torch.tensor(2**40),
            "flags": torch.tensor([True, False]),
            "empty": torch.zeros(0, 3),
            "not numbers": torch.tensor([math.nan, -math.inf, -0.0]),
        },
        "optimizer": {0: {"step": torch.tensor(3.0), "momentum_buffer": weight * 2}, 1: {"momentum_buffer": None}},
    }


def same(one: Any, other: Any) -> bool:
    """Equal to the last bit, in type, layout and order."""
    if isinstance(one, Tensor):
        bits = [tensor.contiguous().flatten().view(torch.uint8) for tensor in (one, other)]
        return (one.shape, one.dtype, one.stride()) == (other.shape, other.dtype, other.stride()) and torch.equal(*bits)
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, EpochResult):  # repr tells every float, and a tuple from a list
        return repr(one) == repr(other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(str(tmp_path / "deep" / "store"))


@pytest.mark.parametrize("kind", ["directory", "file URI", "objects"])
def test_what_is_saved_is_loaded_to_the_last_bit(tmp_path: Path, kind: str) -> None:
    # Arrow's own store in memory stands for an object store: what is written there appears when it is complete
    location = {"directory": str(tmp_path / "a"), "file URI": (tmp_path / "b").as_uri(), "objects": "mock:///bucket/c"}
    store = CheckpointStore(location[kind])
    assert store.save("3f", HISTORY, state())
    assert store.save("40", HISTORY, None)
    loaded, finished = store.load("3f"), store.load("40")
    assert loaded is not None and finished is not None
    assert same(loaded.history, HISTORY) and same(finished.history, HISTORY)
    assert same(loaded.state, state()) and finished.state is None
    assert store.load("41") is None
    assert store.present(["3f", "41", "40"]) == {"3f", "40"}
    assert sorted(entry.key for entry in store.entries()) == ["3f", "40"]
    for _ in range(2):
        store.remove("3f")
    assert [entry.key for entry in store.entries()] == ["40"]
    store.save("40", HISTORY[:1], None)
    replaced = store.load("40")
    assert replaced is not None and same(replaced.history, HISTORY[:1])
    assert store.evict(0, lambda key: 1.0) == 1 and store.entries() == []
    assert store.problems == []


def test_two_stores_in_one_directory_see_each_others_entries(store: CheckpointStore) -> None:
    store.save("3f", HISTORY, None)
    other = CheckpointStore(store.location)
    loaded = other.load("3f")
    assert loaded is not None and same(loaded.history, HISTORY)
    (entry,) = other.entries()
    file = (Path(store.location) / "3f.pt").stat()
    assert entry.size == file.st_size and entry.written == pytest.approx(file.st_mtime)


@pytest.mark.parametrize(
    ("location", "file"),
    [
        ("{0}/a", "{0}/a/3f.pt"),
        ("{0}/a?b", "{0}/a?b/3f.pt"),
        ("file://{0}/a", "{0}/a/3f.pt"),
        ("mock:///bucket/a/", "mock:///bucket/a/3f.pt"),
        ("mock:///bucket/a?region=x", "mock:///bucket/a/3f.pt?region=x"),
    ],
)
def test_an_entry_has_a_path_in_a_directory_and_an_address_in_an_object_store(
    tmp_path: Path, location: str, file: str
) -> None:
    assert CheckpointStore(location.format(tmp_path)).file("3f") == file.format(tmp_path)


@pytest.mark.parametrize("location", ["{0}/file", "{0}/file/below", "nothing://bucket/x", "file://relative", ""])
def test_a_location_that_cannot_be_used_is_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "file").touch()
    location = location.format(tmp_path)
    with pytest.raises(InputError, match=f"compute.store {location}: cannot be used .*; name a directory"):
        CheckpointStore(location)


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    store = CheckpointStore(str(tmp_path_factory.mktemp("entry")))
    store.save("3f", HISTORY, state())
    return (Path(store.location) / "3f.pt").read_bytes()


@st.composite
def damages(draw: st.DrawFn) -> tuple[float, int, str]:
    return draw(st.floats(0, 1, exclude_max=True)), draw(st.integers(1, 255)), draw(st.sampled_from(["flip", "cut", "zero"]))


@settings(deadline=None, max_examples=400)
@given(st.lists(damages(), min_size=1, max_size=2))
@example([(0.875, 16, "flip")])  # makes a tensor's file a folder, in the table of contents
def test_a_damaged_entry_is_whole_or_absent_removed_and_said_so(entry: bytes, damage: list[tuple[float, int, str]]) -> None:
    content = bytearray(entry)
    for place, value, kind in damage:
        position = int(place * len(content))
        if kind == "flip":
            content[position : position + 1] = bytes([content[position] ^ value]) if content else b""
        elif kind == "cut":
            del content[position:]
        else:
            content[position : position + value] = bytes(len(content[position : position + value]))
    with tempfile.TemporaryDirectory() as directory:
        store = CheckpointStore(directory)
        path = Path(directory) / "3f.pt"
        path.write_bytes(content)
        loaded = store.load("3f")
        if loaded is not None:  # what was hit has no meaning, as the padding before a tensor
            assert same(loaded.history, HISTORY) and same(loaded.state, state())
            assert store.problems == []
        else:
            (problem,) = store.problems
            assert problem.startswith(f"checkpoint {path} is damaged (") and problem.endswith("are trained again")
            assert store.present(["3f"]) == set() and store.entries() == []


def test_every_byte_of_a_tensor_and_of_the_history_is_under_a_checksum(entry: bytes, tmp_path: Path) -> None:
    store = CheckpointStore(str(tmp_path))
    weight = state()["model"]["double"].numpy().tobytes()
    for place in (entry.index(weight), entry.index(weight) + len(weight) - 1, entry.index(b"train_loss")):
        content = bytearray(entry)
        content[place] ^= 1
        (tmp_path / "3f.pt").write_bytes(content)
        assert store.load("3f") is None
    assert len(store.problems) == 3
    assert all("BadZipFile" in problem or "wrong checksum" in problem for problem in store.problems)


class Malicious:
    """Makes a directory when it is unpickled as usual."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.directory),)


@pytest.mark.parametrize("whole", [True, False])
def test_nothing_in_an_entry_is_executed(store: CheckpointStore, tmp_path: Path, whole: bool) -> None:
    evil = Malicious(tmp_path / "made")
    path = Path(store.location) / "3f.pt"
    torch.save(evil if whole else {"history": [{"epoch": 1}], "state": {"model": evil}}, path)
    assert store.load("3f") is None
    assert not evil.directory.exists() and not path.exists()
    assert "is damaged (UnpicklingError" in store.problems[0]
    torch.save(evil, path)
    torch.load(path, weights_only=False)
    assert evil.directory.exists()  # it would have


def test_a_sound_file_that_is_no_checkpoint_counts_as_damaged(store: CheckpointStore) -> None:
    for key, value in (("a", {"history": []}), ("b", [1, 2])):
        torch.save(value, Path(store.location) / f"{key}.pt")
        assert store.load(key) is None
    assert len(store.problems) == 2 and store.entries() == []


WRITE_FOR_EVER = """
import itertools, sys, torch
from tests.support.epoch_results import result
from tune_seg.training.checkpoints import CheckpointStore
store = CheckpointStore(sys.argv[1])
for number in itertools.count(1):
    history = [result(epoch, number / 1e6) for epoch in range(1000)]
    store.save(f"key{number % 2}", history, {"w": torch.full((1_000_000,), float(number))})
"""


def test_a_reader_sees_whole_entries_only_and_a_killed_writer_leaves_none(store: CheckpointStore) -> None:
    root = Path(store.location)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITE_FOR_EVER, store.location],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    try:
        seen: set[float] = set()
        ends = time.monotonic() + 120
        while len(seen) < 6 and time.monotonic() < ends:
            for key in ("key0", "key1"):
                if (loaded := store.load(key)) is not None:
                    assert loaded.state is not None
                    (score,) = {entry.score("s_rec") for entry in loaded.history}
                    value = round(score * 1e6)
                    assert torch.equal(loaded.state["w"], torch.full((1_000_000,), float(value)))
                    seen.add(value)
        assert len(seen) >= 6 and store.problems == []
        while not (partial := list(root.glob("*.partial"))) and time.monotonic() < ends:
            # stopped, so that it is killed where it is
            writer.send_signal(signal.SIGCONT)
            time.sleep(0.002)
            writer.send_signal(signal.SIGSTOP)
            time.sleep(0.002)
        assert len(partial) == 1
    finally:
        writer.kill()
        writer.wait()
    for key in ("key0", "key1"):
        loaded = store.load(key)
        assert loaded is not None and len(loaded.history) == 1000
    assert {entry.key for entry in store.entries()} == {"key0", "key1"}
    assert partial[0].exists()  # another process might be writing it
    os.utime(partial[0], (time.time() - 7200,) * 2)
    assert {entry.key for entry in store.entries()} == {"key0", "key1"}
    assert not partial[0].exists() and store.problems == []


def test_a_full_disk_is_said_and_leaves_the_store_usable(store: CheckpointStore) -> None:
    big = {"w": torch.ones(1_000_000)}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    store.save("old", HISTORY, big)
    written: list[float] = []
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        assert not store.save("big", HISTORY, big)
        store.save_later("later", HISTORY, big, lambda seconds, _: written.append(seconds))
        store.flush()
        assert store.save("small", HISTORY, None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [
        f"{store.location}/{key}.pt could not be written" in problem
        for key, problem in zip(["big", "later"], store.problems, strict=True)
    ] == [True, True]
    assert all("File too large" in problem for problem in store.problems) and written == []
    assert sorted(os.listdir(store.location)) == ["old.pt", "small.pt"]
    assert store.load("old") is not None and store.load("small") is not None
    assert store.save("big", HISTORY, big)


def test_a_store_that_is_lost_is_said_and_ends_nothing(store: CheckpointStore) -> None:
    store.save("3f", HISTORY, None)
    store.remove("3f")
    root = Path(store.location)
    root.rmdir()
    assert (store.present(["3f"]), store.load("3f"), store.entries(), store.problems) == (set(), None, [], [])
    root.touch()  # a share that is away looks different on every system; a file in its place fails on all of them
    assert (store.present(["3f"]), store.load("3f"), store.entries()) == (set(), None, [])
    assert not store.save("3f", HISTORY, None)
    assert store.evict(0, lambda key: 1.0) == 0
    store.remove("3f")
    assert ["could not be read" in line for line in store.problems].count(True) == 1
    assert ["could not be listed" in line for line in store.problems].count(True) == 2
    assert "could not be written" in store.problems[2]


def test_checkpoints_are_written_in_a_thread_of_their_own_one_after_another(store: CheckpointStore) -> None:
    threads, order = set(), []

    def written(seconds: float, asked_for: bool) -> None:
        assert seconds > 0 and not asked_for
        threads.add(threading.current_thread().name)
        order.append(len(store.entries()))

    assert not store.busy
    store.flush()
    for number in range(4):
        store.save_later(f"key{number}", HISTORY, {"w": torch.full((100_000,), float(number))}, written)
    store.flush()
    assert not store.busy
    assert order == [1, 2, 3, 4]
    assert threads == {"checkpoints_0"} and threading.current_thread().name not in threads
    for number in range(4):
        loaded = store.load(f"key{number}")
        assert loaded is not None and loaded.state is not None and loaded.state["w"].unique().item() == number


def test_what_is_asked_for_while_it_is_written_is_known_when_it_is_there(store: CheckpointStore) -> None:
    asked_for = []
    for key in ("wanted", "not"):
        store.want("wanted")
        store.save_later(key, HISTORY, {"w": torch.ones(1000)}, lambda _, wanted: asked_for.append(wanted))
        store.flush()
    assert asked_for == [True, False]
    assert store.wanted(["wanted", "not"]) == {"wanted"}  # asked for again after it was there
    store.save("wanted", HISTORY, None)
    assert not store.wanted(["wanted"])


entries = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(0, 3), st.integers(0, 3)), max_size=8
)  # the size, how often it is needed, the age


@settings(deadline=None, max_examples=100)
@given(entries, st.integers(0, 20_000))
def test_what_is_least_likely_to_be_reused_goes_first_then_the_oldest(
    files: list[tuple[int, int, int]], budget: int
) -> None:
    now = time.time()
    with tempfile.TemporaryDirectory() as directory:
        for number, (size, _, age) in enumerate(files):
            path = Path(directory) / f"{number}.pt"
            path.write_bytes(bytes(size))
            os.utime(path, (now - age * 1000,) * 2)
        store = CheckpointStore(directory)
        removed = store.evict(budget, lambda key: files[int(key)][1])
        left = {int(entry.key): entry.size for entry in store.entries()}
        assert {int(path.stem) for path in Path(directory).iterdir()} == set(left)
    gone = set(range(len(files))) - set(left)
    assert removed == len(gone)
    assert sum(left.values()) <= budget

    def worth(number: int) -> tuple[int, int]:
        return files[number][1], -files[number][2]

    assert all(worth(number) <= worth(other) for number in gone for other in left)
    if gone:  # none but what had to
        dearest = max(map(worth, gone))
        last = [files[number][0] for number in gone if worth(number) == dearest]
        assert sum(left.values()) + max(last) > budget


def test_the_results_of_whole_trainings_go_after_all_states(store: CheckpointStore) -> None:
    state = {"weight": torch.zeros(2**18)}
    for key in ("old", "needed"):
        store.save(key, [], state)
    store.save("results", HISTORY[:1], None)
    uses = {"needed": 5.0}
    assert store.evict(1.5 * 2**20, lambda key: uses.get(key, 0.0)) == 1
    assert {entry.key for entry in store.entries()} == {"needed", "results"}
    assert store.evict(2**19, lambda key: uses.get(key, 0.0)) == 1
    assert {entry.key for entry in store.entries()} == {"results"}


@pytest.mark.parametrize("size", [1, 2**18])
def test_the_weights_that_trainings_ended_with_go_before_all_else(store: CheckpointStore, size: int) -> None:
    store.save("old", [], {"weight": torch.zeros(2**18)})
    store.save("results", HISTORY[:1], None)
    store.save("3f" + WEIGHTS, [], {"weight": torch.zeros(size)})
    assert store.evict(sum(entry.size for entry in store.entries()) - 1, lambda key: 0.0) == 1
    assert {entry.key for entry in store.entries()} == {"old", "results"}


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_what_is_to_be_kept_is_never_evicted_by_whatever_path_it_is_named(tmp_path: Path, scheme: str) -> None:
    store = CheckpointStore(f"{scheme}{tmp_path / 'store'}")
    kept = ["3f" + WEIGHTS, "40"]
    for key in (*kept, "41"):
        store.save(key, HISTORY, state())
    link, elsewhere = tmp_path / "link.pt", tmp_path / "41.pt"
    link.symlink_to(tmp_path / "store" / "40.pt")
    elsewhere.touch()
    store.keep([tmp_path / "store" / f"3f{WEIGHTS}.pt", link, elsewhere])
    assert store.evict(0, lambda key: 0.0) == 1
    assert sorted(entry.key for entry in store.entries()) == kept


def test_a_state_is_asked_for_until_it_is_there(store: CheckpointStore) -> None:
    store.want("a")
    store.want("b")
    store.save("a", [], None)
    assert store.wanted(["a", "b", "c"]) == {"b"}
    assert store.entries() and store.present(["a", "b"]) == {"a"}
