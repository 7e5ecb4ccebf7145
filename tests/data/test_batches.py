"""Batches: orders, resuming, shards as one sequence, cached translations."""

import multiprocessing
import os
import stat
from itertools import chain

import numpy as np
import pytest
import torch
from criteo import expected, line, random_lines, write
from hypothesis import given, strategies as st

from pocketrec.data import batches, open_log, prepare, translation
from pocketrec.data.permutation import Permutation
from pocketrec.errors import UsageError


@given(n=st.integers(1, 3000), seed=st.integers(0, 1 << 40), epoch=st.integers(0, 1000))
def test_permutation(n, seed, epoch):
    order = Permutation(n, seed, epoch)(np.arange(n))
    assert sorted(order.tolist()) == list(range(n))


def test_permutation_depends_on_seed_and_epoch_and_mixes_well():
    n = 10_000
    orders = [Permutation(n, seed, epoch)(np.arange(n)) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    for k in range(3):
        assert (orders[k] == orders[k - 1]).mean() < 0.01
        assert abs(np.corrcoef(np.arange(n), orders[k])[0, 1]) < 0.05
        # Neighbours in the order are not neighbours in the file.
        assert (np.abs(np.diff(orders[k])) < 10).mean() < 0.01


def test_permutation_of_billions():
    n = 4_373_472_329
    elements = Permutation(n, 0, 0)(np.arange(n - 1000, n))
    assert len(set(elements.tolist())) == 1000
    assert elements.min() >= 0
    assert elements.max() < n


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Three shards of 31, 1 and 40 training rows; int_0 is the row number."""
    folder = tmp_path_factory.mktemp("log")
    paths, number = [], 0
    for k, rows in enumerate((31, 1, 40)):
        lines = [line(r % 2, [number + r], [f"{r % 7:x}", f"{1000 + r:x}"]) for r in range(rows)]
        paths.append(write(folder / f"{k}.tsv", lines))
        number += rows
    prepare(paths, folder / "out", split="1/0/0", progress=False)
    return open_log(folder / "out", progress=False)


def row_numbers(batches):
    return [np.rint(np.expm1(dense[:, 0].numpy())).astype(int).tolist() for dense, _, _ in batches]


def test_in_order_over_shards(log):
    batches = log.batches("train", log.raw_ids(), 10)
    assert (len(batches), batches.rows, batches.batch_size) == (8, 72, 10)
    assert list(chain(*row_numbers(batches))) == list(range(72))
    dense, ids, labels = next(iter(batches))
    assert (dense.dtype, ids.dtype, labels.dtype) == (torch.float32, torch.int64, torch.float32)
    assert (dense.shape, ids.shape, labels.shape) == ((10, 13), (10, 26), (10,))
    assert ids[:, 1].tolist() == list(range(1000, 1010))
    assert labels.tolist() == [r % 2 for r in range(10)]


@pytest.mark.parametrize("size", [1, 10, 31, 72, 100])
def test_in_order_reads_slices_of_the_shards(log, size, monkeypatch):
    monkeypatch.setattr(batches._Sequence, "take", None)
    found = list(log.batches("train", log.raw_ids(), size))
    assert list(chain(*row_numbers(found))) == list(range(72))
    for parts in found:
        for part in parts:
            part += 1  # its own memory, not the file's


@pytest.mark.parametrize("drop_last", [False, True])
def test_an_epoch_is_a_permutation(log, drop_last):
    batches = log.batches("train", log.raw_ids(), 10, shuffle=True, seed=3, drop_last=drop_last)
    first = row_numbers(batches)
    assert [len(rows) for rows in first] == [10] * 7 + ([] if drop_last else [2])
    assert len(set(chain(*first))) == (70 if drop_last else 72)
    assert row_numbers(batches) == first
    batches.set_epoch(1)
    assert row_numbers(batches) != first
    # All columns of a row stay together.
    for dense, ids, labels in batches:
        number = np.rint(np.expm1(dense[:, 0].numpy())).astype(int)
        inside = np.where(number < 31, number, np.where(number == 31, 0, number - 32))
        assert ids[:, 1].tolist() == (1000 + inside).tolist()
        assert labels.tolist() == (inside % 2).tolist()


def test_resumed_equals_uninterrupted(log):
    whole = log.batches("train", log.raw_ids(), 7, shuffle=True, seed=5)
    whole.set_epoch(4)
    resumed = log.batches("train", log.raw_ids(), 7, shuffle=True, seed=5)
    for step in (0, 3, len(whole)):
        resumed.set_epoch(4, start_step=step)
        assert row_numbers(resumed) == row_numbers(whole)[step:]
    with pytest.raises(UsageError, match="start_step"):
        resumed.set_epoch(0, start_step=len(whole) + 1)


@pytest.mark.parametrize("policy", ["vocabulary", "filtered_ids"])
def test_translated_batches_and_their_cache(log, policy, monkeypatch):
    ids = getattr(log, policy)()
    raw = np.concatenate([batch[1] for batch in log.batches("train", log.raw_ids(), 10)])
    found = torch.cat([batch[1] for batch in log.batches("train", ids, 10)])
    np.testing.assert_array_equal(found, ids.translate(raw))
    made = sorted(path.name for path in (log.folder / "cache").glob(f"{ids.name}-min2*"))
    assert len(made) == 3
    (log.folder / "cache" / made[1]).unlink()
    translated = []
    original = translation._translate
    monkeypatch.setattr(translation, "_translate", lambda *args: translated.append(1) or original(*args))
    np.testing.assert_array_equal(torch.cat([batch[1] for batch in log.batches("train", ids, 10)]), found)
    assert len(translated) == 1


def test_another_logs_vocabulary_is_not_mixed_up(log, tmp_path):
    prepare(write(tmp_path / "b.tsv", random_lines(40)), tmp_path / "b", split="1/0/0", progress=False)
    foreign = open_log(tmp_path / "b", progress=False).vocabulary()
    own = next(iter(log.batches("train", log.vocabulary(), 72)))[1]
    other = next(iter(log.batches("train", foreign, 72)))[1]
    raw = next(iter(log.batches("train", log.raw_ids(), 72)))[1].numpy()
    np.testing.assert_array_equal(other, foreign.translate(raw))
    assert not torch.equal(own, other)


def test_read_only_folder(tmp_path, monkeypatch):
    prepare(write(tmp_path / "a.tsv", random_lines(40)), tmp_path / "out", progress=False)
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "cache" not in str(path) and real(path, mode))
    (tmp_path / "out" / "cache").chmod(stat.S_IREAD | stat.S_IEXEC)
    log = open_log(tmp_path / "out", progress=False)
    assert log.batches("train", log.vocabulary(), 10).rows == 32
    assert not list((tmp_path / "out" / "cache").glob("vocabulary*"))
    (tmp_path / "out" / "cache").chmod(0o755)


def _count_rows(folder):
    log = open_log(folder, progress=False)
    return sum(len(batch[2]) for batch in log.batches("train", log.vocabulary(), 10))


def test_processes_may_translate_at_the_same_time(tmp_path):
    prepare(write(tmp_path / "a.tsv", random_lines(200)), tmp_path / "out", progress=False)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(_count_rows, [tmp_path / "out"] * 2) == [160, 160]
    assert not list((tmp_path / "out" / "cache").glob(".*"))


def test_bad_arguments(log):
    with pytest.raises(UsageError, match="did you mean 'train'"):
        log.batches("trian", log.raw_ids(), 10)
    with pytest.raises(UsageError, match="batch_size"):
        log.batches("train", log.raw_ids(), 0)
    with pytest.raises(UsageError, match="min_count"):
        log.vocabulary(0)


def test_a_split_without_rows(log):
    batches = log.batches("test", log.raw_ids(), 10)
    assert (len(batches), list(batches)) == (0, [])


def test_labels_and_dense_survive(tmp_path):
    lines = random_lines(50)
    prepare(write(tmp_path / "a.tsv", lines), tmp_path / "out", split="1/0/0", progress=False)
    log = open_log(tmp_path / "out", progress=False)
    (batch,) = log.batches("train", log.raw_ids(), 50)
    for found, wanted in zip((batch[2], batch[0], batch[1]), expected(lines), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
