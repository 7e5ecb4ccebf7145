"""run_study(): the quality runs, then the step times, into one folder."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

from pocketrec.errors import DataError, TrainingError, UsageError
from pocketrec.study import about, timing
from pocketrec.study.cell import FULL
from pocketrec.study.columns import (
    FEATURES,
    FEATURES_FILE,
    NUMBERS,
    RESULTS,
    RESULTS_FILE,
    SETTINGS_FILE,
    TIMING,
    TIMING_FILE,
)
from pocketrec.study.config import StudyConfig
from pocketrec.study.process import ChildDied, Children
from pocketrec.study.progress import View
from pocketrec.study.quality import Quality
from pocketrec.study.read import Study, read_study
from pocketrec.study.rows import append_rows, read_table, repair
from pocketrec.study.settings import claim
from pocketrec.study.times import Times
from pocketrec.study.turns import DISTURBED

if TYPE_CHECKING:
    from pocketrec.data import Manifest


def run_study(config: StudyConfig, *, progress: bool = True) -> Study:
    """Do what the study in `config.out` still lacks; returns what the folder then holds.

    Stopped at any moment (kill -9 included), the same call goes on: a finished run is never repeated, and one in flight
    goes on from its checkpoint. Runs are processes of their own (multiprocessing), so a script that calls this
    needs the usual `if __name__ == "__main__":`.

    Raises UsageError for a config that makes no sense on this log, or a folder that holds another study or something
    else; DataError for a log without validation or test rows, a damaged file, or while another study writes there;
    TrainingError for runs whose process died, after all others.
    """
    from pocketrec.data import open_log
    from pocketrec.data.system import processors

    manifest = open_log(config.data, progress=progress).manifest
    _check(config, manifest)
    folder = Path(config.out)
    view = View(enabled=progress)
    with _locked(folder), Children() as children:
        claim(folder, config, manifest.fingerprint)
        _repair(folder, view)
        jobs = config.jobs or processors()
        times = Times(folder, jobs)
        try:
            sizes = dict(zip(manifest.feature_names, manifest.cardinalities, strict=True))
            Quality(config, manifest.fingerprint, sizes, jobs, view, times).run(children)
            times.mark("runs")
            _time_steps(config, processors(), children, view)
            times.mark("timing")
        except (KeyboardInterrupt, SystemExit):
            view.say(f"stopped: the same command, or pocketrec study --out {folder}, goes on")
            raise
        finally:
            view.close()
            times.save()
    return read_study(folder)


def _check(config: StudyConfig, manifest: Manifest) -> None:
    """Raise for what would stop every run of a cell."""
    from pocketrec.runs.build import Shape, completed
    from pocketrec.runs.flags import config_from

    for split in ("validation", "test"):
        if not manifest.rows[split]:
            raise DataError(
                f"{config.data}: the {split} split is empty, and a study needs it: prepare with --split 8/1/1"
            )
    for cell in config.cells:
        for way in config.ways:
            try:
                Shape.of(manifest, completed(config_from(config.settings(cell, way)), manifest))
            except (UsageError, TypeError) as error:
                raise UsageError(f"{cell.name}, {way.name}: {error}") from None


def _locked(folder: Path) -> IO[bytes]:
    """The folder, made and ours alone until the file returned is closed."""
    from pocketrec.data.lock import NAME, lock_folder

    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: exists and is not a folder: choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    foreign = [p.name for p in folder.iterdir() if p.name != NAME and not p.name.startswith(".")]
    if foreign and not (folder / SETTINGS_FILE).exists():
        raise UsageError(f"{folder}: exists and holds something that is not a study: choose another --out")
    lock = lock_folder(folder)
    if lock is None:
        raise DataError(f"{folder}: another study is writing here: wait for it, or choose another --out")
    return lock


def _repair(folder: Path, view: View) -> None:
    """Drop what a kill tore, and refuse what none can have done."""
    for name, columns in ((RESULTS_FILE, RESULTS), (TIMING_FILE, TIMING), (FEATURES_FILE, FEATURES)):
        if repair(folder / name):
            view.say(f"{folder / name}: dropped a last line that a kill had torn; what it told is written again")
        read_table(folder / name, columns, NUMBERS[columns])


def _time_steps(config: StudyConfig, threads: int, children: Children, view: View) -> None:
    """Measure the step times that are missing, with nothing else running."""
    study = read_study(config.out)
    settings = timing.picked(study.rows)
    for cells in timing.missing(study.rows, study.timing):
        view.say(f"timing the steps of {', '.join(cell.name for cell in cells)}, in turns with full tables")
        child = children.start(
            timing.measure,
            config.data,
            settings[FULL],
            {cell: settings[cell] for cell in cells},
            threads,
            timing.ROUNDS,
        )
        while child not in children.told():
            pass
        where = {name: value for name, value in about.columns().items() if name in TIMING}
        try:
            rows = child.result()
        except ChildDied as error:
            raise TrainingError(
                f"timing steps: {error}; all rows are kept. It holds full tables and {len(cells)} other models in "
                "memory at once: run the same command where there is more of it"
            ) from error
        append_rows(study.folder / TIMING_FILE, [where | row for row in rows], TIMING)
        if rows[0]["conditions"].startswith(DISTURBED):
            view.say(
                f"{rows[0]['conditions']}: these times are rough; on a quiet machine delete {TIMING_FILE} and run again"
            )
