"""`prepare` killed with SIGKILL and run again: the same result, finished shards untouched."""

import os
import signal
import subprocess
import sys

import pytest
from criteo import random_lines, write

from pocketrec.data import open_log, prepare
from pocketrec.data.lock import lock_folder
from pocketrec.errors import DataError

KILLED_AFTER_SHARD_1 = """
import os, signal, sys
from pocketrec.data import claim, prepare

original = claim.Claim.mark_finished
def mark_and_die(self, shard, runs, digest):
    original(self, shard, runs, digest)
    if shard.index == 1:
        os.kill(os.getpid(), signal.SIGKILL)

claim.Claim.mark_finished = mark_and_die
prepare(sys.argv[2:], sys.argv[1], workers=1, progress=False)
"""


@pytest.fixture
def killed(tmp_path):
    """(input files, folder left by a prepare that was killed after two of three shards)."""
    paths = [write(tmp_path / f"{k}.tsv", random_lines(30 + k, seed=k)) for k in range(3)]
    command = [sys.executable, "-c", KILLED_AFTER_SHARD_1, tmp_path / "out", *paths]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    return paths, tmp_path / "out"


def test_goes_on_without_redoing_shards(killed, tmp_path):
    paths, out = killed
    with pytest.raises(DataError, match="did not finish"):
        open_log(out)
    done = [out / f"train_0000{k}_sparse.npy" for k in (0, 1)]
    before = [(os.stat(path).st_ino, os.stat(path).st_mtime_ns) for path in done]
    (out / ".train_00002_sparse.npy.part").write_bytes(b"half")
    manifest = prepare(paths, out, progress=False)
    assert [(os.stat(path).st_ino, os.stat(path).st_mtime_ns) for path in done] == before
    whole = prepare(paths, tmp_path / "whole", progress=False)
    assert manifest == whole
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in (tmp_path / "whole").iterdir())


def test_other_options_are_refused(killed):
    paths, out = killed
    before = sorted(path.name for path in out.rglob("*"))
    with pytest.raises(DataError, match="other files or options"):
        prepare(paths, out, min_count=5, progress=False)
    assert sorted(path.name for path in out.rglob("*")) == before


def test_a_finished_shard_that_vanished_is_made_again(killed):
    paths, out = killed
    (out / "train_00000_sparse.npy").unlink()
    prepare(paths, out, progress=False)
    open_log(out, verify=True, progress=False)


def test_another_prepare_at_work_is_left_alone(killed):
    paths, out = killed
    before = sorted(path.name for path in out.rglob("*"))
    with lock_folder(out / "preparing"), pytest.raises(DataError, match="another prepare is writing here"):
        prepare(paths, out, progress=False)
    assert sorted(path.name for path in out.rglob("*")) == before
    prepare(paths, out, progress=False)


def test_killed_before_the_plan(tmp_path):
    path = write(tmp_path / "a.tsv", random_lines(30))
    (tmp_path / "out" / "preparing").mkdir(parents=True)
    (tmp_path / "out" / "preparing" / "lock").touch()
    (tmp_path / "out" / "preparing" / ".plan.json.abc.part").write_text("{")
    prepare(path, tmp_path / "out", progress=False)
    assert not (tmp_path / "out" / "preparing").exists()


def test_a_users_folder_of_that_name_is_left_alone(tmp_path):
    letter = tmp_path / "out" / "preparing" / "letter.txt"
    letter.parent.mkdir(parents=True)
    letter.write_text("dear")
    with pytest.raises(DataError, match="holds something else"):
        prepare(write(tmp_path / "a.tsv", random_lines(30)), tmp_path / "out", progress=False)
    assert [path.name for path in letter.parent.iterdir()] == ["letter.txt"]


def test_torn_plan(killed):
    paths, out = killed
    (out / "preparing" / "plan.json").write_text('{"options": {')
    with pytest.raises(DataError, match=r"plan\.json: damaged.*delete the folder"):
        prepare(paths, out, progress=False)


def test_torn_marker_of_a_shard(killed):
    paths, out = killed
    (out / "preparing" / "shard_00000.json").write_text("{")
    prepare(paths, out, progress=False)
    open_log(out, verify=True, progress=False)
