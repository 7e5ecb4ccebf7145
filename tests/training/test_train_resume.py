"""A run stopped anywhere and resumed ends with the same weights, bit for bit, as one that never stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import planted
import pytest
import torch
from planted import CONFIG, STEPS_PER_EPOCH, Batches, planted_rows, run, small_dlrm, train_data, validation_data
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from pocketrec.embedding import EmbeddingBagCollection
from pocketrec.errors import TrainingError, UsageError
from pocketrec.models import DLRM
from pocketrec.sharing import Full, HashingTrick, Robe, Table
from pocketrec.training import Result, TrainConfig, checkpoint, load_weights, train

CLOCKS = ("seconds", "evaluation_seconds")


class Stopped(Exception):
    """What the data raise where a test wants the run to die."""


def stop_at(chosen: int) -> Callable[[int], None]:
    def before(step: int) -> None:
        if step == chosen:
            raise Stopped

    return before


class Dying:
    """Another iterable of batches, which dies when asked to."""

    def __init__(self, batches: Any, before: Callable[[int], None]) -> None:
        self.batches, self.before, self.given = batches, before, 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.batches:
            self.given += 1
            self.before(self.given)
            yield batch


def without_clocks(result: Result) -> dict[str, Any]:
    kept = ("steps", "steps_to_best", "best_validation_auc", "best_validation_log_loss", "stopped_early", "threads")
    rows = [{name: value for name, value in row.items() if name not in CLOCKS} for row in result.history]
    return {**{name: getattr(result, name) for name in kept}, "history": rows}


def assert_same_run(resumed: tuple[nn.Module, Result], reference: tuple[nn.Module, Result]) -> None:
    assert without_clocks(resumed[1]) == without_clocks(reference[1])
    ours, theirs = resumed[0].state_dict(), reference[0].state_dict()
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[nn.Module, Result]:
    return run()


def test_a_run_with_a_folder_is_the_run_without(tmp_path: Path, uninterrupted: tuple[nn.Module, Result]) -> None:
    assert_same_run(run(tmp_path / "run"), uninterrupted)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoint.pt", "history.csv", "model.pt"]


# 24 steps, 8 an epoch, an evaluation after every 4th; dying at step k means that k - 1 are done.
@pytest.mark.parametrize("stop", [1, 4, 5, 9, 13, 24])
@pytest.mark.parametrize("checkpoint_steps", [1, 3, None])
def test_resume_from_any_step(
    tmp_path: Path, uninterrupted: tuple[nn.Module, Result], stop: int, checkpoint_steps: int | None
) -> None:
    with pytest.raises(Stopped):
        run(tmp_path, before=stop_at(stop), checkpoint_steps=checkpoint_steps)
    assert_same_run(run(tmp_path, resume=True, checkpoint_steps=checkpoint_steps), uninterrupted)


def test_stopped_again_and_again(tmp_path: Path, uninterrupted: tuple[nn.Module, Result]) -> None:
    for stop in range(1, 25, 2):
        with pytest.raises(Stopped):
            run(tmp_path, before=stop_at(stop), resume=True, checkpoint_steps=1)
    assert_same_run(run(tmp_path, resume=True, checkpoint_steps=1), uninterrupted)


@pytest.mark.parametrize("optimizer", ["adam", "adagrad", "sgd"])
@pytest.mark.parametrize("sparse", [False, True])
def test_resume_with_every_optimizer(tmp_path: Path, optimizer: str, sparse: bool) -> None:
    def once(**kwargs: Any) -> tuple[nn.Module, Result]:
        choice = {"embedding_optimizer": optimizer, "dense_optimizer": optimizer, "decay": "cosine", "warmup_steps": 3}
        return run(model=small_dlrm(sparse=sparse, dropout=0.3), checkpoint_steps=3, **choice, **kwargs)

    with pytest.raises(Stopped):
        once(out=tmp_path, before=stop_at(12))
    assert_same_run(once(out=tmp_path, resume=True), once())


def shared_tables(scheme: Full | HashingTrick | Robe) -> nn.Module:
    tables = [Table(f"cat_{i}", planted.ROWS, 32) for i in range(planted.FEATURES)]
    size = {} if isinstance(scheme, Full) else {"memory_size": 500}
    return EmbeddingBagCollection(tables, scheme, **size)


@pytest.mark.parametrize("optimizer", ["adam", "adagrad", "sgd"])
@pytest.mark.parametrize(
    "scheme", [Full(), HashingTrick(), Robe(chunk_size=8)], ids=lambda scheme: type(scheme).__name__
)
def test_resume_where_two_threads_share_the_work(
    tmp_path: Path, scheme: Full | HashingTrick | Robe, optimizer: str
) -> None:
    rows = planted_rows(4 * 512)
    batches = [tuple(column[i : i + 512] for column in rows) for i in range(0, len(rows[2]), 512)]

    def once(chosen: int = 0, **kwargs: Any) -> tuple[nn.Module, Result]:
        torch.manual_seed(0)
        model = DLRM(shared_tables(scheme), planted.DENSE, (128, 64), (128,))
        config = TrainConfig(
            epochs=2,
            threads=2,
            patience=None,
            checkpoint_steps=1,
            embedding_optimizer=optimizer,
            dense_optimizer=optimizer,
        )
        data = Dying(batches, stop_at(chosen))
        return model, train(model, data, batches[:1], config=config, progress=False, **kwargs)

    with pytest.raises(Stopped):
        once(6, out=tmp_path)
    assert_same_run(once(out=tmp_path, resume=True), once())


def test_resume_after_the_patience_ran_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"learning_rate": 1e-9, "embedding_learning_rate": 1e-9, "patience": 2, "checkpoint_steps": 1}
    reference = run(**config)
    assert reference[1].stopped_early
    monkeypatch.setattr("pocketrec.training.run.Run._finish", lambda self: stop_at(0)(0))
    with pytest.raises(Stopped):
        run(tmp_path, **config)
    monkeypatch.undo()
    assert_same_run(run(tmp_path, resume=True, **config), reference)


def test_a_shuffled_dataloader_resumes_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    def once(before: Callable[[int], None] = lambda step: None, **kwargs: Any) -> tuple[nn.Module, Result]:
        model = small_dlrm(dropout=0.3)
        config = TrainConfig(**CONFIG, checkpoint_steps=5)
        loader = DataLoader(TensorDataset(*planted_rows(256)), batch_size=32, shuffle=True)
        return model, train(model, Dying(loader, before), validation_data(), config=config, progress=False, **kwargs)

    with pytest.raises(Stopped):
        once(stop_at(15), out=tmp_path)
    torch.manual_seed(1234)
    assert_same_run(once(out=tmp_path, resume=True), once())


def test_epochs_without_start_step_are_told_and_skipped(tmp_path: Path) -> None:
    class Plain(Batches):
        def set_epoch(self, epoch: int) -> None:  # type: ignore[override]
            self.epoch = epoch

    def once(before: Callable[[int], None] = lambda step: None, **kwargs: Any) -> tuple[nn.Module, Result]:
        model, data = small_dlrm(), Plain(planted_rows(256), before)
        config = TrainConfig(**CONFIG, checkpoint_steps=1)
        return model, train(model, data, validation_data(), config=config, progress=False, **kwargs)

    with pytest.raises(Stopped):
        once(stop_at(15), out=tmp_path)
    assert_same_run(once(out=tmp_path, resume=True), once())


def test_kill_9_and_resume(tmp_path: Path, uninterrupted: tuple[nn.Module, Result]) -> None:
    command = [sys.executable, planted.__file__, str(tmp_path), "15"]
    killed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert checkpoint.read_checkpoint(tmp_path / "checkpoint.pt")["state"]["step"] >= 12
    assert_same_run(run(tmp_path, resume=True, checkpoint_steps=3), uninterrupted)


def test_the_saved_file_is_the_same_to_the_byte(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    with pytest.raises(Stopped):
        run(tmp_path / "stopped", before=stop_at(11), checkpoint_steps=3)
    run(tmp_path / "stopped", resume=True, checkpoint_steps=3)
    whole, stopped = ((tmp_path / name / "model.pt").read_bytes() for name in ("whole", "stopped"))
    assert whole == stopped


def test_kill_in_the_middle_of_writing_a_checkpoint(
    tmp_path: Path, uninterrupted: tuple[nn.Module, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn_save(value: Any, file: IO[bytes]) -> None:
        if isinstance(value, dict) and value.get("state", {}).get("step") == 10:
            file.write(b"half a checkpoint")
            # What kill -9 leaves: the temporary file, and nothing renamed.
            os.link(file.name, f"{file.name}.left.part")
            raise Stopped
        original(value, file)

    original = torch.save
    monkeypatch.setattr(torch, "save", torn_save)
    with pytest.raises(Stopped):
        run(tmp_path, checkpoint_steps=2)
    monkeypatch.undo()
    assert list(tmp_path.glob(".*.part"))
    assert_same_run(run(tmp_path, resume=True, checkpoint_steps=2), uninterrupted)
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_signals_save_a_checkpoint_of_a_whole_step(
    tmp_path: Path, uninterrupted: tuple[nn.Module, Result], number: signal.Signals, expected: type[BaseException]
) -> None:
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(expected) as raised:
        run(tmp_path, before=lambda step: os.kill(os.getpid(), number) if step == 7 else None)
    assert checkpoint.read_checkpoint(tmp_path / "checkpoint.pt")["state"]["step"] == 7
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    if expected is SystemExit:
        assert raised.value.code == 143
    assert_same_run(run(tmp_path, resume=True), uninterrupted)


def test_a_finished_run_says_so_and_trains_nothing(
    tmp_path: Path, uninterrupted: tuple[nn.Module, Result], capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path)
    model = small_dlrm(seed=5)
    config = TrainConfig(**CONFIG)
    result = train(model, train_data(stop_at(1)), validation_data(), config=config, out=tmp_path, resume=True)
    assert result.already_finished
    assert_same_run((model, result), uninterrupted)
    assert "finished after 24 steps: nothing to train" in capsys.readouterr().err


def test_resume_in_an_empty_folder_starts(tmp_path: Path, uninterrupted: tuple[nn.Module, Result]) -> None:
    assert_same_run(run(tmp_path / "new", resume=True), uninterrupted)


def test_the_thread_count_is_the_checkpoints_and_then_put_back(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    seen = []
    with pytest.raises(Stopped):
        run(tmp_path, before=stop_at(5), threads=None, checkpoint_steps=1)
    torch.set_num_threads(before + 1)
    try:
        run(tmp_path, before=lambda step: seen.append(torch.get_num_threads()), threads=None, resume=True)
        assert set(seen) == {before}
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_time_and_samples_add_up_over_resumes(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        run(tmp_path, before=stop_at(13), checkpoint_steps=1)
    first = checkpoint.read_checkpoint(tmp_path / "checkpoint.pt")["state"]
    _, result = run(tmp_path, resume=True)
    assert first["samples"] == 12 * 32
    assert result.seconds > first["seconds"] > 0
    assert result.samples_per_second == pytest.approx(24 * 32 / result.seconds)


# --- refusals


@pytest.fixture
def half_run(tmp_path: Path) -> Path:
    with pytest.raises(Stopped):
        run(tmp_path, before=stop_at(6), checkpoint_steps=1, identity={"data": {"rows": 256}, "tags": ("a", "b")})
    return tmp_path


IDENTITY = {"data": {"rows": 256}, "tags": ("a", "b")}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning_rate": 0.02}, "config.learning_rate: was 0.01, now 0.02"),
        ({"epochs": 4, "seed": 7}, "config.epochs: was 3, now 4; config.seed: was 0, now 7"),
        ({"threads": 2}, "config.threads: was 1, now 2"),
        ({"identity": {"data": {"rows": 255}, "tags": ("a", "b")}}, "identity.data.rows: was 256, now 255"),
        ({"identity": None}, "identity.data: was {'rows': 256}, now None"),
        (
            {"model": DLRM(planted.Tables(8), 2, (8,), (8,))},
            "model.bottom.2.bias: was 'torch.float32 (4,)', now 'torch.float32 (8,)'",
        ),
    ],
)
def test_another_run_is_refused_by_name(half_run: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(TrainingError, match="is the checkpoint of another run") as error:
        run(half_run, resume=True, **{"identity": IDENTITY, **changes})
    assert said in str(error.value)


def test_how_often_to_checkpoint_may_change(half_run: Path) -> None:
    run(half_run, resume=True, identity=IDENTITY, checkpoint_steps=7, checkpoint_seconds=1.0)


def test_other_data_are_refused(half_run: Path) -> None:
    data = Batches(planted_rows(512))
    with pytest.raises(TrainingError, match="steps_per_epoch: was 8, now 16"):
        train(small_dlrm(), data, config=TrainConfig(**CONFIG), out=half_run, resume=True, identity=IDENTITY)


def test_a_folder_with_a_run_is_not_overwritten(half_run: Path) -> None:
    before = (half_run / "checkpoint.pt").read_bytes()
    with pytest.raises(UsageError, match=r"already holds a training run; go on with resume=True \(--resume\)"):
        run(half_run)
    assert (half_run / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize("keep", [0, 1, 100, 3000])
def test_a_torn_checkpoint_is_a_clear_error(half_run: Path, keep: int) -> None:
    path = half_run / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TrainingError, match=r"checkpoint\.pt: is not a whole checkpoint"):
        run(half_run, resume=True, identity=IDENTITY)


def test_a_checkpoint_that_would_run_code_is_refused(half_run: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return os.system, ("exit 1",)

    torch.save({"format": 1, "x": Hostile()}, half_run / "checkpoint.pt")
    with pytest.raises(TrainingError, match="is not a whole checkpoint") as error:
        run(half_run, resume=True, identity=IDENTITY)
    assert "weights_only" not in str(error.value)


def test_another_format_is_refused(half_run: Path) -> None:
    torch.save({"format": 99}, half_run / "checkpoint.pt")
    with pytest.raises(TrainingError, match="has checkpoint format 99, this version reads 1"):
        run(half_run, resume=True, identity=IDENTITY)


def test_a_file_of_something_else_is_refused(half_run: Path) -> None:
    torch.save([1, 2], half_run / "checkpoint.pt")
    with pytest.raises(TrainingError, match="is not a pocketrec checkpoint"):
        run(half_run, resume=True, identity=IDENTITY)


def test_load_weights(tmp_path: Path, half_run: Path) -> None:
    with pytest.raises(UsageError, match="holds an unfinished run; finish it with --resume"):
        load_weights(small_dlrm(), half_run)
    with pytest.raises(UsageError, match="holds no training run"):
        load_weights(small_dlrm(), tmp_path / "nothing")
    trained, _ = run(half_run, resume=True, identity=IDENTITY)
    model = small_dlrm(seed=9)
    load_weights(model, half_run)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in trained.state_dict().items())
    with pytest.raises(TrainingError, match="holds the weights of another model"):
        load_weights(nn.Linear(2, 2), half_run)


def test_a_disk_that_is_full_leaves_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(value: Any, file: IO[bytes]) -> None:
        if isinstance(value, dict) and value.get("state", {}).get("step") == 6:
            raise OSError(28, "No space left on device")
        original(value, file)

    original = torch.save
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match=r"cannot be written .*No space left.*checkpoint of step 5 is in"):
        run(tmp_path, checkpoint_steps=1)
    assert checkpoint.read_checkpoint(tmp_path / "checkpoint.pt")["state"]["step"] == 5
    assert not list(tmp_path.glob(".*"))


def test_steps_per_epoch_is_what_the_tests_assume() -> None:
    assert len(train_data()) == STEPS_PER_EPOCH
