"""train(): it learns, stops, reports, and refuses."""

from __future__ import annotations

import csv
import math
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from planted import BATCH, CONFIG, planted_rows, run, small_dlrm, train_data, validation_data
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from pocketrec.errors import TrainingError, UsageError
from pocketrec.training import TrainConfig, checkpoint, evaluate, train


def quick(model: nn.Module, data: Any, validation: Any = None, *, config: TrainConfig | None = None, **kwargs: Any):
    return train(model, data, validation, config=config or TrainConfig(**CONFIG), progress=False, **kwargs)


@pytest.mark.parametrize("optimizer", ["adam", "adagrad", "sgd"])
@pytest.mark.parametrize("sparse", [False, True])
def test_it_learns_the_planted_model(optimizer: str, sparse: bool) -> None:
    model = small_dlrm(sparse=sparse)
    rate = {"adam": 0.02, "adagrad": 0.1, "sgd": 2.0}[optimizer]
    config = TrainConfig(
        epochs=8,
        learning_rate=rate,
        embedding_optimizer=optimizer,
        dense_optimizer=optimizer,
        evaluations_per_epoch=1,
        threads=1,
    )
    data, validation = in_batches(planted_rows(4096)), in_batches(planted_rows(2048, seed=1))
    before = evaluate(model, validation).auc
    result = quick(model, data, validation, config=config)
    assert before < 0.65
    assert result.best_validation_auc > 0.75
    assert evaluate(model, validation).auc == result.best_validation_auc


def in_batches(rows: tuple[Tensor, ...], size: int = 128) -> list[tuple[Tensor, ...]]:
    return list(zip(*(column.split(size) for column in rows), strict=True))


def test_only_what_its_learning_rate_moves_moves() -> None:
    model = small_dlrm()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    quick(model, train_data(), config=TrainConfig(epochs=1, embedding_learning_rate=0.1, dense_learning_rate=1e-30))
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"embeddings.bag.weight"}


class ScriptedAUC(nn.Module):
    """Its validation AUC follows a script: the weight counts evaluations, the script says how many pairs are right."""

    def __init__(self, script: list[float]) -> None:
        super().__init__()
        self.script = script
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("evaluations", torch.zeros((), dtype=torch.int64))

    def forward(self, ranks: Tensor) -> Tensor:
        if self.training:
            return self.weight.expand(ranks.shape[0])
        wanted = self.script[int(self.evaluations)]
        self.evaluations += 1
        # 11 rows, the last clicked: it beats as many of the 10 others as the script wants.
        return torch.where(ranks == 10, torch.tensor(10 * wanted - 0.5), ranks)


SCRIPT_VALIDATION = [(torch.arange(11.0), (torch.arange(11) == 10).float())]


def scripted(script: list[float], patience: int | None, **kwargs: Any) -> tuple[ScriptedAUC, Any]:
    model = ScriptedAUC(script)
    data = [(torch.zeros(2), torch.tensor([1.0, 1.0]))] * 2
    config = TrainConfig(
        epochs=len(script) // 2,
        evaluations_per_epoch=2,
        patience=patience,
        dense_optimizer="sgd",
        # A checkpoint after the best evaluation must not take the best weights with it.
        checkpoint_steps=1,
    )
    return model, quick(model, data, SCRIPT_VALIDATION, config=config, **kwargs)


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize(
    ("script", "patience", "steps", "best"),
    [
        ([0.5, 0.6, 0.7, 0.8], 1, 4, 4),
        ([0.5, 0.7, 0.6, 0.5, 0.9, 0.9], 2, 4, 2),
        ([0.5, 0.7, 0.6, 0.5, 0.9, 0.9], 3, 6, 5),
        ([0.5, 0.7, 0.6, 0.5, 0.9, 0.9], None, 6, 5),
        ([0.5, 0.5, 0.5, 0.5], 2, 3, 1),
    ],
)
def test_early_stopping_and_the_best_weights(
    tmp_path: Path, folder: bool, script: list[float], patience: int | None, steps: int, best: int
) -> None:
    out = tmp_path / "run" if folder else None
    model, result = scripted(script, patience, out=out)
    assert (result.steps, result.steps_to_best, result.stopped_early) == (steps, best, steps < len(script))
    assert result.best_validation_auc == pytest.approx(max(script[:steps]))
    assert int(model.evaluations) == best
    if out is not None:
        saved = torch.load(out / "model.pt", weights_only=True)
        assert all(torch.equal(saved[name], value) for name, value in model.state_dict().items())
        assert not list(out.glob("best_*"))


def test_without_validation_the_last_weights_are_the_result(tmp_path: Path) -> None:
    model = small_dlrm()
    result = quick(model, train_data(), out=tmp_path)
    assert (result.steps, result.steps_to_best, result.history) == (24, 24, [])
    assert math.isnan(result.best_validation_auc)
    assert (tmp_path / "model.pt").exists()
    assert not (tmp_path / "history.csv").exists()


def test_one_class_validation_is_noted_and_never_stops_early(capsys: pytest.CaptureFixture[str]) -> None:
    dense, ids, _ = planted_rows(BATCH)
    config = TrainConfig(**{**CONFIG, "patience": 1})
    result = train(small_dlrm(), train_data(), [(dense, ids, torch.zeros(BATCH))], config=config)
    assert (result.steps, result.stopped_early) == (24, False)
    assert math.isnan(result.best_validation_auc)
    assert capsys.readouterr().err.count("all 32 labels are 0: AUC and normalised entropy are undefined") == 1


def test_a_users_own_model_and_dataloader() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(60, 4)
            self.head = nn.Linear(4, 1)

        def forward(self, inputs: dict[str, Tensor]) -> Tensor:
            return self.head(self.table(inputs["ids"]).sum(1))

    torch.manual_seed(0)
    _, ids, labels = planted_rows(512)
    rows = TensorDataset(ids + torch.arange(3) * 20, labels.long())

    def collate(items: list[tuple[Tensor, Tensor]]) -> tuple[dict[str, Tensor], Tensor]:
        return {"ids": torch.stack([x for x, _ in items])}, torch.stack([y for _, y in items])

    loader = DataLoader(rows, batch_size=64, shuffle=True, collate_fn=collate)
    result = quick(Own(), loader, loader, config=TrainConfig(epochs=3, learning_rate=0.05))
    assert result.best_validation_auc > 0.7


def test_history_csv_has_a_row_per_evaluation(tmp_path: Path) -> None:
    _, result = run(tmp_path, warmup_steps=8, embedding_learning_rate=0.5)
    with open(tmp_path / "history.csv", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [float(row["step"]) for row in rows] == [4, 8, 12, 16, 20, 24]
    assert [float(row["epoch"]) for row in rows] == [0.5, 1, 1.5, 2, 2.5, 3]
    assert [float(row["embedding_learning_rate"]) for row in rows] == [0.25, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert [float(row["samples"]) for row in rows] == [128, 256, 384, 512, 640, 768]
    assert [{name: float(value) for name, value in row.items()} for row in rows] == result.history


def test_train_loss_is_the_mean_over_the_steps_since_the_last_evaluation() -> None:
    model = nn.Linear(1, 1)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    data = [(torch.zeros(2, 1), torch.tensor([0.0, 1.0]))] * 4
    result = quick(model, data, data, config=TrainConfig(epochs=1, evaluations_per_epoch=2))
    assert [row["train_loss"] for row in result.history] == pytest.approx([math.log(2)] * 2)


def test_it_leaves_the_mode_and_the_handlers_as_they_were() -> None:
    model = small_dlrm().eval()
    quick(model, train_data())
    assert not model.training


def test_it_runs_outside_the_main_thread_too() -> None:
    done: list[nn.Module] = []
    thread = threading.Thread(target=lambda: done.append(run()[0]))
    thread.start()
    thread.join()
    assert_equal(done[0], run()[0])


def test_gradients_from_before_do_not_count() -> None:
    model = small_dlrm()
    model(*planted_rows(8)[:2]).sum().backward()
    assert_equal(run(model=model)[0], run()[0])


def assert_equal(one: nn.Module, other: nn.Module) -> None:
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


# --- the loss is not a number


def with_bad(step: int, column: int, value: float) -> list[list[Tensor]]:
    batches = [list(batch) for batch in train_data()]
    batches[step - 1][column][3] = value
    return batches


def test_nan_in_the_dense_inputs_is_named_and_the_last_checkpoint_stays(tmp_path: Path) -> None:
    config = TrainConfig(epochs=1, checkpoint_steps=2)
    with pytest.raises(TrainingError) as error:
        quick(small_dlrm(), with_bad(6, 0, math.nan), config=config, out=tmp_path)
    assert str(error.value) == (
        "the loss is nan at step 6: input 0 of this batch holds NaN or infinity, first at [3, 0]; clean the data "
        f"(the checkpoint of step 4 is in {tmp_path}: --resume goes on with the same settings and data only; "
        "with others choose another --out)"
    )
    state = checkpoint.read_checkpoint(tmp_path / "checkpoint.pt")
    assert all(torch.isfinite(value).all() for value in state["model"].values())


def test_nan_labels_are_named() -> None:
    with pytest.raises(TrainingError, match="the loss is nan at step 6: the labels of this batch hold NaN"):
        quick(small_dlrm(), with_bad(6, 2, math.nan))


@pytest.mark.parametrize(
    ("rate", "symptom"),
    [(1e10, "the loss is (inf|nan) at step 2"), (1e30, "weights in weight are not .* after step 1")],
)
def test_a_diverging_run_blames_the_learning_rate(tmp_path: Path, rate: float, symptom: str) -> None:
    data = [(torch.full((4, 1), 1e20), torch.tensor([0.0, 1.0, 0.0, 1.0]))] * 5
    config = TrainConfig(dense_optimizer="sgd", learning_rate=rate, checkpoint_steps=1)
    cause = ": the inputs are finite, so the learning rate is probably too high"
    with pytest.raises(TrainingError, match=symptom + cause):
        quick(nn.Linear(1, 1), data, config=config, out=tmp_path)
    state = checkpoint.read_checkpoint(tmp_path / "checkpoint.pt")
    assert all(torch.isfinite(value).all() for value in state["model"].values())


@pytest.mark.parametrize(
    ("rate", "told"),
    [
        (1e30, "weights in weight are not finite numbers after step 1: .* learning rate is probably too high"),
        (1e10, "after step 1: evaluate: 4 of 4 predictions .*: the inputs are finite, so the model diverged"),
    ],
)
def test_an_evaluation_of_a_diverged_model_names_the_step(tmp_path: Path, rate: float, told: str) -> None:
    data = [(torch.full((4, 1), 1e20), torch.tensor([0.0, 1.0, 0.0, 1.0]))]
    config = TrainConfig(dense_optimizer="sgd", learning_rate=rate)
    with pytest.raises(TrainingError, match=f"{told}.*with others choose another --out"):
        quick(nn.Linear(1, 1), data, data, config=config, out=tmp_path)


# --- refusals


class Lying:
    """Says it has `said` batches and gives `given`."""

    def __init__(self, said: int, given: int) -> None:
        self.said, self.given = said, given

    def __len__(self) -> int:
        return self.said

    def __iter__(self) -> Any:
        return iter([planted_rows(4)] * self.given)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ((batch for batch in train_data()), UsageError, "train_data: needs a length"),
        ([], UsageError, "train_data: holds no batch"),
        ([planted_rows(0)], TrainingError, "the batch of step 1 is empty"),
        (Lying(3, 2), TrainingError, "gave 2 batches in an epoch, and its length says 3"),
        (Lying(2, 3), TrainingError, "gave more batches in an epoch than its length, 2"),
        (with_bad(1, 2, -1.0), TrainingError, r"labels must be 0 or 1, got -1 at step 1, row 3 of the batch"),
    ],
)
def test_bad_training_data_are_named(data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        quick(small_dlrm(), data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "dlrm"}, "model: must be a torch.nn.Module, got a str"),
        ({"resume": True}, "resume: needs the folder of the run"),
        ({"log_to_tensorboard": True}, "log_to_tensorboard: needs a folder"),
        ({"identity": {"data": object()}}, "identity: must be a mapping of JSON values"),
    ],
)
def test_bad_arguments_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        train(**{"model": small_dlrm(), "train_data": train_data(), "progress": False, **changes})


# --- what the user sees


def test_progress_is_a_line_per_evaluation_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    train(small_dlrm(), train_data(), validation_data(), config=TrainConfig(**CONFIG))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    for word in ("step 4/24", "loss ", "AUC ", "samples/s", "left"):
        assert word in lines[0]


def test_progress_is_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    train(small_dlrm(), train_data(), validation_data(), config=TrainConfig(**CONFIG))
    shown = capsys.readouterr().err
    assert "\r" in shown
    assert "24/24" in shown
    assert "samples/s" in shown


def test_tensorboard_gets_every_evaluation(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    quick(small_dlrm(), train_data(), validation_data(), out=tmp_path, log_to_tensorboard=True)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("validation_auc")] == [4, 8, 12, 16, 20, 24]


def test_tensorboard_not_installed_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"pip install 'pocketrec\[tensorboard\]'"):
        quick(small_dlrm(), train_data(), out=tmp_path / "run", log_to_tensorboard=True)
    assert not (tmp_path / "run").exists()
