"""Train a recommender on a prepared log, with full or shared embedding tables.

RUN receives config.json, metrics.json, history.csv, checkpoint.pt and model.pt. Stopped at any moment, the same command
with --resume goes on and ends with the same weights, bit for bit. The defaults train well on a log never seen before.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from pocketrec.cli.show import number, pairs, ratio, size

EXAMPLE = """examples:
  pocketrec train --data prepared --sharing full --out runs/full
  pocketrec train --data prepared --sharing robe --compression 1000 --out runs/robe-1000x
"""
SHARINGS = (
    "full, low-rank, hashing-trick, hashednets, robe, qr, multi-hash, hash-embeddings, mixed-dimensions, tt, dhe, cce, "
    "hot-cold"
)
"""The words of `pocketrec.sharing.SCHEMES`, which would cost --help an import of torch."""
RANKERS = "dlrm, dlrm-dcnv2, deepfm, dcn-v2, xdeepfm, autoint, fibinet"
"""The words of `pocketrec.models.MODELS`, likewise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", required=True, metavar="DIR", help="a folder written by pocketrec prepare")
    parser.add_argument("--out", required=True, metavar="RUN", help="a new folder, or with --resume the run's")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    _add_model(parser.add_argument_group("model"))
    _add_sharing(parser.add_argument_group("sharing"))
    _add_training(parser.add_argument_group("training"))


def _add_model(group: Any) -> None:
    group.add_argument(
        "--model",
        metavar="WORD",
        help=f"the ranker (default dlrm): {RANKERS}",
    )
    group.add_argument("--preset", metavar="kaggle|terabyte", help="layer sizes (default kaggle)")
    group.add_argument(
        "--without",
        type=lambda text: tuple(text.split(",")),
        metavar="NAME,NAME",
        help="features to leave out; their tables still count as what is compressed",
    )
    group.add_argument("--embedding-dim", type=int, metavar="D", help="virtual width; it never changes the budget")
    group.add_argument(
        "--ids",
        metavar="vocabulary|ranked|raw|filtered",
        help="what tables are asked for: rows of a vocabulary (most schemes' default), of one ranked by count (to "
        "encode later), raw ids, or raw ids that passed a compact filter of those seen often enough (default of robe, "
        "hashednets and hot-cold)",
    )
    group.add_argument(
        "--min-count", type=int, metavar="N", help="times a value must be seen to be kept (default: as prepared)"
    )


def _add_sharing(group: Any) -> None:
    group.add_argument("--sharing", metavar="WORD", help=f"how rows are recovered (default robe): {SHARINGS}")
    group.add_argument(
        "--with",
        action="append",
        type=option,
        dest="options",
        metavar="NAME=VALUE",
        help="an option of the scheme, such as operation=add of qr; may be repeated",
    )
    group.add_argument(
        "--precision",
        metavar="float32|bfloat16|float16|int8|int4",
        help="what the memory is stored in (default float32); integers train a float32 master as they will serve it",
    )
    group.add_argument("--compression", type=float, metavar="X", help="full bytes / stored bytes (default 100)")
    group.add_argument("--memory-size", type=int, metavar="SLOTS", help="slots of the memory, instead of --compression")
    group.add_argument("--chunk-size", type=int, metavar="Z", help="robe, hot-cold: slots copied at once")
    group.add_argument(
        "--hash", metavar="mixing|linear", help="robe: how chunks are placed (authors: as the authors' kernel)"
    )
    group.add_argument("--signed", action="store_true", default=None, help="robe: multiply what is read by +1 or -1")
    group.add_argument("--align", type=int, metavar="N", help="robe: chunk starts are multiples of N")
    group.add_argument(
        "--init", metavar="X|RULE", help="half-width of the uniform initial values, or largest-table, or width"
    )


def _add_training(group: Any) -> None:
    group.add_argument("--optimizer", metavar="adam|adagrad|sgd", help="for embeddings and dense parts")
    group.add_argument("--embedding-optimizer", metavar="NAME", help="for embeddings only")
    group.add_argument("--dense-optimizer", metavar="NAME", help="for the dense parts only")
    group.add_argument("--learning-rate", type=float, metavar="X", help="for both parts")
    group.add_argument("--embedding-learning-rate", type=float, metavar="X", help="for embeddings only")
    group.add_argument("--dense-learning-rate", type=float, metavar="X", help="for the dense parts only")
    group.add_argument("--warmup-steps", type=int, metavar="N", help="steps in which the learning rates rise from 0")
    group.add_argument("--decay", metavar="none|linear|cosine", help="how the learning rates fall until the last epoch")
    group.add_argument(
        "--batch-size", type=int, metavar="N", help="examples a step (default 2048, fewer on a small log)"
    )
    group.add_argument("--epochs", type=int, metavar="N", help="passes over the training rows, at most")
    group.add_argument(
        "--patience", type=int, metavar="N", help="evaluations without a better validation AUC before stopping"
    )
    group.add_argument("--evaluations-per-epoch", type=int, metavar="N", help="how often to evaluate")
    group.add_argument("--seed", type=int, metavar="S", help="of initial values, hashes and order (default 0)")
    group.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all)")
    group.add_argument("--device", metavar="NAME", help="cpu, cuda, ... (default cpu)")
    group.add_argument("--tensorboard", action="store_true", help="write the curves for TensorBoard too")


def run(args: argparse.Namespace) -> None:
    from pocketrec.data import open_log
    from pocketrec.runs import train_run
    from pocketrec.runs.flags import config_from

    config = config_from(vars(args))
    metrics = train_run(open_log(args.data), config, args.out, resume=args.resume, log_to_tensorboard=args.tensorboard)
    print(summary(args.out, metrics))


def option(text: str) -> tuple[str, Any]:
    """NAME=VALUE; the value is a number, true, false or a word."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"wants NAME=VALUE, got {text!r}")
    try:
        return name.replace("-", "_"), json.loads(value)
    except ValueError:
        return name.replace("-", "_"), value


def summary(title: str, metrics: dict[str, Any]) -> str:
    """The figures of `metrics.json` that matter, in words."""
    rows = []
    if metrics["best_validation_auc"] is not None:
        best = f"{metrics['best_validation_auc']:.4f} at step {number(metrics['steps_to_best'])}"
        rows.append(("best validation AUC", best))
    if metrics.get("test_auc") is not None:
        rows.append(("test AUC", f"{metrics['test_auc']:.4f}"))
        rows.append(("test log loss", f"{metrics['test_log_loss']:.4f}"))
        rows.append(("calibration", f"{metrics['test_calibration']:.3f} (mean prediction / click rate)"))
    stored, full = size(metrics["stored_bytes"]), size(metrics["full_bytes"])
    rows.append(("stored", f"{stored} instead of {full}: {ratio(metrics['compression'])}"))
    rows.append(
        (
            "id map",
            f"{size(metrics['id_map_bytes'])}; counted on both sides: {ratio(metrics['compression_with_id_map'])}",
        )
    )
    rows.append(("speed", f"{number(round(metrics['samples_per_second']))} samples/s"))
    return pairs(title, rows)
