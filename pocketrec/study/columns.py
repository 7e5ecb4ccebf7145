"""The columns of a study's three tables. What `pocketrec report` reads; older folders work while these stand."""

from __future__ import annotations

RESULTS_FILE, TIMING_FILE, FEATURES_FILE = "results.csv", "timing.csv", "features.csv"
SETTINGS_FILE, TIMES_FILE, RUNS = "study.toml", "study.json", "runs"

RESULTS = (
    "date", "version", "commit", "machine", "versions", "data", "model", "preset",
    "scheme", "compression", "phase", "way", "settings", "seed",
    "best_validation_auc", "test_auc", "test_log_loss", "test_calibration", "steps", "steps_to_best", "seconds",
    "stopped", "stored_bytes", "full_bytes", "id_map_bytes", "reached_compression", "peak_memory_bytes", "run", "error",
)  # fmt: skip
"""One row per finished run.

`commit` is empty outside a checkout; `data` is the fingerprint of the prepared log; `compression` is what was asked for
(1 for full tables) and `reached_compression` what came of it; `phase` is `tuning` or `final`; `settings` are flags of
`pocketrec train` as JSON, without the seed; `seconds` are those of the training steps; `stopped` is empty, `patience`
or `hopeless`; `run` is a folder under `runs/`. A final with the first seed is the tuning run that was picked: the same
run, told twice. A row with an `error` has no measures.
"""
MEASURES = RESULTS[RESULTS.index("best_validation_auc") : RESULTS.index("stopped")]
SIZES = ("stored_bytes", "full_bytes", "id_map_bytes", "reached_compression", "peak_memory_bytes")

TIMING = (
    "date", "machine", "versions", "scheme", "compression", "settings",
    "step_ms", "full_ms", "ratio", "threads", "batch_size", "rounds", "conditions",
)  # fmt: skip
"""One row per compressed cell: its training step, measured in turns with that of full tables.

`ratio` is the median over the turns of step / full; the two times are medians of their own.
"""

FEATURES = ("scheme", "compression", "seed", "feature", "num_embeddings", "importance", "lost_auc")
"""One row per feature of each cell's first final.

`num_embeddings` is how many values training has seen; `importance` the validation AUC lost when that feature's ids are
shuffled among the rows; `lost_auc` the importance in full tables minus that here: what sharing lost.
"""
NUMBERS = {
    RESULTS: ("compression", "seed", *MEASURES, *SIZES),
    TIMING: ("compression", "step_ms", "full_ms", "ratio", "threads", "batch_size", "rounds"),
    FEATURES: ("compression", "seed", "num_embeddings", "importance", "lost_auc"),
}
"""Of each table the columns that hold a number, or nothing."""
