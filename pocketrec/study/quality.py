"""The quality runs: a few at a time, each in a process of its own, a row in `results.csv` as soon as one is done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pocketrec.errors import PocketrecError, TrainingError
from pocketrec.study import about
from pocketrec.study.cell import FULL, cell_of
from pocketrec.study.columns import FEATURES, FEATURES_FILE, RESULTS, RESULTS_FILE, RUNS
from pocketrec.study.config import StudyConfig
from pocketrec.study.features import feature_rows
from pocketrec.study.hopeless import Rival, read_rival
from pocketrec.study.process import Child, ChildDied, Children
from pocketrec.study.progress import View, best_of, left_seconds
from pocketrec.study.rows import append_rows, read_rows
from pocketrec.study.times import Times
from pocketrec.study.trials import FIRST_SEED, TUNING, Key, Trial, expected_total, key_of, leader, wanted
from pocketrec.study.work import Task, forget_weights, is_done, read_features, read_outcome, work


class Quality:
    """Runs what a study's rows call for until there is nothing left."""

    def __init__(
        self, config: StudyConfig, data: str, sizes: Mapping[str, int], jobs: int, view: View, times: Times
    ) -> None:
        """data: fingerprint of the log. sizes: values seen in training, by feature."""
        self.config, self.data, self.sizes, self.jobs = config, data, sizes, jobs
        self.folder, self.view, self.times = Path(config.out), view, times
        self.results = self.folder / RESULTS_FILE
        self.rows = read_rows(self.results)
        self.running: dict[Child, Trial] = {}
        self.died: dict[Key, str] = {}

    def run(self, children: Children) -> None:
        """Raises TrainingError, at the end, for runs whose process died: the same command tries them again."""
        self._tidy()
        self._show()
        while True:
            self._record_left_over()
            self._start_more(children)
            if not self.running:
                break
            for child in children.told():
                self._take(child)
            self.times.mark("runs")
            self._show()
        if self.died:
            told = "; ".join(self.died.values())
            raise TrainingError(f"{told}. All other runs are recorded; the same command tries these again")

    def _record_left_over(self) -> None:
        """Rows of runs that were done when an earlier process was killed."""
        while ready := [t for t in self._to_do() if is_done(self._folder(t), t.measures_features)]:
            self._record(ready[0])

    def _start_more(self, children: Children) -> None:
        for trial in self._to_do()[: self.jobs - len(self.running)]:
            flags = {**trial.settings, "seed": trial.seed}
            task = Task(self.config.data, self._folder(trial), flags, trial.measures_features, self._rival(trial))
            self.running[children.start(work, task)] = trial

    def _to_do(self) -> list[Trial]:
        known = {key_of(row) for row in self.rows} | {t.key for t in self.running.values()} | self.died.keys()
        return [trial for trial in wanted(self.config, self.rows) if trial.key not in known]

    def _folder(self, trial: Trial) -> Path:
        return self.folder / RUNS / trial.run

    def _rival(self, trial: Trial) -> Rival | None:
        """The best tuning run of the cell so far."""
        best = leader(self.config, trial.cell, self.rows) if trial.phase == TUNING else None
        return None if best is None else read_rival(self._folder(best), _epochs(best))

    def _take(self, child: Child) -> None:
        trial = self.running.pop(child)
        self.times.add({"processes": child.seconds})
        try:
            child.result()
        except ChildDied as error:
            self.died[trial.key] = f"{trial.run}: {error}"
            self.view.say(self.died[trial.key])
        except PocketrecError as error:
            raise type(error)(f"{trial.run}: {error}") from None
        else:
            self._record(trial)

    def _record(self, trial: Trial) -> None:
        """Write what is in the run's folder; the row itself last, so that a kill before it loses nothing."""
        outcome = read_outcome(self._folder(trial))
        times = outcome.pop("times")
        if trial.measures_features:
            times = {"features": self._record_features(trial)}
        self.times.add(times)
        what = {"data": self.data, "model": self.config.model, "preset": self.config.preset}
        append_rows(self.results, [{**about.columns(), **what, **trial.as_row(), **outcome}], RESULTS)
        self.rows = read_rows(self.results)
        self._tidy()
        self.view.finished(len(self.rows), expected_total(self.config, self.rows), self._left(), self.rows[-1])

    def _record_features(self, trial: Trial) -> float:
        """Returns the seconds that measuring took."""
        path = self.folder / FEATURES_FILE
        rows = read_rows(path)
        measured = read_features(self._folder(trial))
        own = measured["importance"]
        full = {row["feature"]: float(row["importance"]) for row in rows if cell_of(row) == FULL}
        told = {"scheme": trial.cell.scheme, "compression": f"{trial.cell.compression:g}", "seed": trial.seed}
        new = feature_rows(own, own if trial.cell == FULL else full, self.sizes)
        # A kill may have come after some of them.
        written = {row["feature"] for row in rows if cell_of(row) == trial.cell}
        append_rows(path, [told | row for row in new if row["feature"] not in written], FEATURES)
        return float(measured["seconds"])

    def _tidy(self) -> None:
        """Delete the weights of recorded runs, but for the leader of a cell whose first final is to come."""
        done = [key_of(row) for row in self.rows]
        measured = {cell for cell, phase, _, seed in done if phase != TUNING and seed == FIRST_SEED}
        leaders = [leader(self.config, cell, self.rows) for cell in self.config.cells if cell not in measured]
        kept = {best.run for best in leaders if best is not None}
        for name in {row["run"] for row in self.rows} - kept:
            forget_weights(self.folder / RUNS / name)

    def _left(self) -> float | None:
        to_do = self._to_do()
        unknown = expected_total(self.config, self.rows) - len(self.rows) - len(self.running) - len(to_do)
        return left_seconds(self.rows, [*to_do, *self.running.values()], max(unknown, 0), self.jobs)

    def _show(self) -> None:
        total = expected_total(self.config, self.rows)
        names = [trial.run for trial in self.running.values()]
        self.view.show(len(self.rows), total, self._left(), best_of(self.rows), names)


def _epochs(trial: Trial) -> int:
    """Of its schedule."""
    from pocketrec.runs.flags import config_from

    return config_from(trial.settings).training.epochs
