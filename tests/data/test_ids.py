"""Ids policies: what raw ids become."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, strategies as st

from pocketrec.data import FilteredIds, RankedVocabulary, RawIds, Vocabulary, open_log, prepare, synthesize
from pocketrec.data.ids import UNSEEN_ID
from pocketrec.errors import UsageError
from pocketrec.hashing import ID_LIMIT


def test_vocabulary_by_hand():
    ids = Vocabulary([np.array([0, 5, 9], np.uint32), np.array([], np.uint32)])
    assert ids.num_embeddings == (4, 1)
    assert ids.id_map_bytes == 24
    raw = np.array([[0, 0], [5, 1], [9, 2], [7, 3], [10, 4]], np.uint32)
    assert ids.translate(raw).tolist() == [[1, 0], [2, 0], [3, 0], [0, 0], [0, 0]]


@given(
    kept=st.sets(st.integers(0, (1 << 32) - 1), max_size=30),
    others=st.lists(st.integers(0, ID_LIMIT - 1), max_size=30),
    vocabulary_dtype=st.sampled_from([np.uint32, np.int64]),
)
def test_vocabulary_is_a_bijection_on_kept_ids(kept, others, vocabulary_dtype):
    ordered = sorted(kept)
    ids = Vocabulary([np.array(ordered, vocabulary_dtype)])
    raw = np.array([*ordered, *others], np.int64)[:, None]
    expected = [ordered.index(value) + 1 if value in kept else 0 for value in raw[:, 0].tolist()]
    assert ids.translate(raw)[:, 0].tolist() == expected
    assert ids.translate(raw).dtype == np.int64


def test_ranked_vocabulary_by_hand():
    """Row 1 is the most frequent id; the bytes are those of a vocabulary."""
    ids = RankedVocabulary([np.array([9, 0, 5], np.uint32), np.array([], np.uint32)])
    assert ids.num_embeddings == (4, 1)
    assert ids.id_map_bytes == 24
    raw = np.array([[0, 0], [5, 1], [9, 2], [7, 3], [10, 4]], np.uint32)
    assert ids.translate(raw).tolist() == [[2, 0], [3, 0], [1, 0], [0, 0], [0, 0]]


@given(
    ranked=st.lists(st.integers(0, (1 << 32) - 1), max_size=30, unique=True),
    others=st.lists(st.integers(0, ID_LIMIT - 1), max_size=30),
    vocabulary_dtype=st.sampled_from([np.uint32, np.int64]),
)
def test_ranked_vocabulary_is_a_bijection_on_kept_ids(ranked, others, vocabulary_dtype):
    ids = RankedVocabulary([np.array(ranked, vocabulary_dtype)])
    raw = np.array([*ranked, *others], np.int64)[:, None]
    expected = [ranked.index(value) + 1 if value in ranked else 0 for value in raw[:, 0].tolist()]
    assert ids.translate(raw)[:, 0].tolist() == expected
    assert ids.translate(raw).dtype == np.int64


def test_translations_of_other_ranks_are_told_apart():
    """A cache that took one for the other would serve every row to another id."""
    first, second = (RankedVocabulary([np.array(ids)], 2) for ids in ([3, 5], [5, 3]))
    assert first.key() != second.key()
    assert first.key() != Vocabulary([np.array([3, 5])], 2).key()


def test_a_log_ranks_by_falling_count(tmp_path):
    """Ties by id; row 0 is asked for as often as all values that are not kept."""
    synthesize(tmp_path / "clicks.tsv", rows=3000, distinct_ids=800, progress=False)
    prepare(tmp_path / "clicks.tsv", tmp_path / "log", progress=False)
    log = open_log(tmp_path / "log", progress=False)
    for (ids, counts), kept in zip(log.ranked_ids(2), log.kept_ids(2), strict=True):
        assert sorted(ids.tolist()) == kept.tolist()
        pairs = list(zip((-counts).tolist(), ids.tolist(), strict=True))
        assert pairs == sorted(pairs)
    asked = next(iter(log.batches("train", log.ranked_vocabulary(2), log.manifest.rows["train"])))[1]
    for feature, counts in enumerate(log.ranked_counts(2)):
        assert np.bincount(asked[:, feature].numpy(), minlength=len(counts)).tolist() == counts.tolist()


def test_raw_ids_pass():
    ids = RawIds(2)
    raw = np.array([[1, 0xFFFFFFFF]], np.uint32)
    assert ids.translate(raw).tolist() == raw.tolist()
    assert (ids.num_embeddings, ids.id_map_bytes) == ((None, None), 0)


def test_filter_keeps_all_members_and_about_one_percent_of_the_others():
    rng = np.random.default_rng(0)
    members = [np.unique(rng.integers(0, ID_LIMIT, 20_000)), np.arange(30_000)]
    ids = FilteredIds.build(members, bits_per_id=10)
    assert ids.id_map_bytes == 50_000 * 10 / 8
    for feature, values in enumerate(members):
        assert ids.contains(feature, values).all()
    strangers = rng.integers(0, ID_LIMIT, 100_000)
    for feature in (0, 1):
        # Theory says 0.82 %; 100,000 draws spread by 0.03 %.
        assert 0.006 < ids.contains(feature, strangers).mean() < 0.0105
    # An id of feature 1 is a stranger to feature 0: pairs are what the filter holds.
    assert ids.contains(0, members[1]).mean() < 0.0105


def test_filtered_translation():
    ids = FilteredIds.build([np.array([3, 8]), np.array([], np.int64)], bits_per_id=64)
    assert ids.translate(np.array([[3, 3], [4, 8]])).tolist() == [[3, UNSEEN_ID], [UNSEEN_ID, UNSEEN_ID]]
    assert ids.num_embeddings == (None, None)


def test_blank_is_an_ordinary_value():
    assert Vocabulary([np.array([0])]).translate(np.array([[0]])).tolist() == [[1]]
    assert FilteredIds.build([np.array([0])]).translate(np.array([[0]])).tolist() == [[0]]


def test_bad_arguments():
    with pytest.raises(UsageError, match=r"shape \(n, 2\)"):
        RawIds(2).translate(np.zeros((3, 1), np.int64))
    with pytest.raises(UsageError, match="float64"):
        RawIds(2).translate(np.zeros((3, 2)))
    with pytest.raises(UsageError, match="bits_per_id"):
        FilteredIds.build([np.arange(3)], bits_per_id=0.5)


def test_reading_ids_needs_neither_polars_nor_torch():
    code = "import sys, pocketrec.data.ids, pocketrec.data.log; print(*{'polars', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.split() == []
