"""Every kind of bad input: the message names file, place, rule; nothing is left behind."""

import errno
import gzip
from collections import Counter

import pytest
from criteo import line, random_lines, write
from hypothesis import given, strategies as st

from pocketrec.data import blocks, convert, npy, prepare, rows
from pocketrec.errors import DataError, UsageError

CSV = {"format": "csv", "label": "y", "dense": ["x"], "categorical": ["c"]}


def refused(tmp_path, path, *told, error=DataError, **options):
    """`prepare` fails, says all of `told`, and leaves no folder."""
    with pytest.raises(error) as caught:
        prepare(path, tmp_path / "out", progress=False, **options)
    for text in told:
        assert text in str(caught.value)
    assert not (tmp_path / "out").exists()


def good_lines_but(number, text, rows=40):
    lines = random_lines(rows)
    lines[number - 1] = text
    return lines


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (line(1)[:-1], ["line 17", "40 columns", "'39'"]),
        (line(1) + "\tx", ["line 17", "40 columns", "'41'"]),
        ("", ["line 17", "40 columns", "'1'"]),
        (line(2), ["line 17", "column label", "0 or 1", "'2'"]),
        (line(""), ["line 17", "column label", "0 or 1"]),
        (line("yes"), ["line 17", "column label", "'yes'"]),
        (line(1, ["", "3.5"]), ["line 17", "column int_1", "integer", "'3.5'"]),
        (line(1, [1 << 70]), ["line 17", "column int_0", "integer"]),
        (line(1, [], ["xyz"]), ["line 17", "column cat_0", "hex", "'xyz'"]),
        (line(1, [], ["123456789"]), ["line 17", "column cat_0", "8 hex digits"]),
        (line(1, [], ["000000001"]), ["line 17", "column cat_0", "8 hex digits"]),
        (line(1, [], [" 1"]), ["line 17", "column cat_0", "hex"]),
        (line(1, [], ["+1"]), ["line 17", "column cat_0", "hex"]),
    ],
)
def test_bad_row(tmp_path, text, told):
    path = write(tmp_path / "a.tsv", good_lines_but(17, text))
    refused(tmp_path, path, "a.tsv", "on_bad_row='skip'", *told)
    manifest = prepare(path, tmp_path / "skipped", on_bad_row="skip", progress=False)
    assert sum(manifest.skipped.values()) == 1
    assert sum(manifest.rows.values()) == 39
    assert manifest.rows["train"] == 31  # the bad row keeps its number: the split of the others does not move


def test_short_and_long_row_in_one_file(tmp_path):
    lines = good_lines_but(5, line(0) + "\t")
    lines[2] = line(0)[:-1]
    refused(tmp_path, write(tmp_path / "a.tsv", lines), "line 3", "'39'")


def test_not_utf8(tmp_path):
    text = "".join(f"{row}\n" for row in random_lines(20)).encode() + line(1, [], ["\xe9"]).encode("latin-1")
    (tmp_path / "a.tsv").write_bytes(text)
    refused(tmp_path, tmp_path / "a.tsv", "line 21", "UTF-8")
    assert prepare(tmp_path / "a.tsv", tmp_path / "skipped", on_bad_row="skip", progress=False).rows["test"] == 2


def test_skip_counts_by_reason(tmp_path):
    lines = random_lines(40)
    lines[3], lines[9], lines[11], lines[12] = "x", "y", line(3, ["z"]), line(0, ["z"])
    manifest = prepare(write(tmp_path / "a.tsv", lines), tmp_path / "out", on_bad_row="skip", progress=False)
    assert manifest.skipped == {
        "a row has 40 columns": 2,
        "label: a label is 0 or 1": 1,
        "int_0: a dense value is an integer or blank": 1,
    }


def test_nothing_but_bad_rows(tmp_path):
    told = "no good row (5 x a row has 40 columns)"
    refused(tmp_path, write(tmp_path / "a.tsv", ["x"] * 5), told, "--format", on_bad_row="skip")


def test_a_file_wrong_throughout_is_judged_record_class_by_record_class(tmp_path, monkeypatch):
    calls = Counter()

    def counted(name, original):
        return lambda *args, **options: calls.update([name]) or original(*args, **options)

    monkeypatch.setattr(rows.BadRows, "add", counted("add", rows.BadRows.add))
    monkeypatch.setattr(blocks, "places_of", counted("places_of", blocks.places_of))
    lines = ["x", line(1, [], ["+1"]), *["x"] * 2000, *[line(1, [], ["+1"])] * 2000, *random_lines(10)]
    manifest = prepare(write(tmp_path / "a.tsv", lines), tmp_path / "out", on_bad_row="skip", progress=False)
    assert manifest.skipped == {
        "a row has 40 columns": 2001,
        "cat_0: a categorical value is at most 8 hex digits or blank": 2001,
    }
    assert calls["add"] == 2
    assert calls["places_of"] <= 10


@given(text=st.text(alphabet='a",\n', max_size=40))
def test_quotes_cut_blocks_where_a_plain_reading_does(text):
    data, inside, ends, lines = text.encode(), False, [], []
    start = 1
    for position, letter in enumerate(text):
        inside ^= letter == '"'
        if letter == "\n" and not inside:
            ends.append(position)
            lines.append(start)
            start = text.count("\n", 0, position + 1) + 1
    assert blocks.record_ends(data, True).tolist() == ends
    assert blocks._last_record_end(data, True) == (ends[-1] + 1 if ends else 0)
    whole = data[: ends[-1] + 1] if ends else b""
    assert blocks.TextBlock(whole, 1, 0, len(ends)).record_lines.tolist() == lines


def test_a_header_in_a_criteo_file(tmp_path):
    header = "\t".join(["label", *[f"c{i}" for i in range(39)]])
    refused(tmp_path, write(tmp_path / "a.tsv", [header, *random_lines(20)]), "line 1", "looks like a header", "csv")


def test_a_header_that_cannot_be_split(tmp_path):
    (tmp_path / "a.csv").write_text("y,x,c" + "c" * 200_000 + "\n1,1,1\n")
    refused(tmp_path, tmp_path / "a.csv", "a.csv, line 1", "--separator", **CSV)


def test_gzip_under_another_name(tmp_path):
    (tmp_path / "a.tsv").write_bytes(gzip.compress(b"0\n"))
    refused(tmp_path, tmp_path / "a.tsv", "a.tsv", "ends in .gz")


def test_missing_empty_and_repeated_files(tmp_path):
    good = write(tmp_path / "a.tsv", random_lines(20))
    empty = write(tmp_path / "empty.tsv", [])
    refused(tmp_path, tmp_path / "none.tsv", "none.tsv", "no such file")
    refused(tmp_path, empty, "empty.tsv", "empty")
    refused(tmp_path, [good, tmp_path], "not a file")
    refused(tmp_path, [good, good], "named twice", error=UsageError)
    refused(tmp_path, [], "no input file", error=UsageError)
    (tmp_path / "blank.tsv").write_text("\n\n")
    refused(tmp_path, [good, tmp_path / "blank.tsv"], "blank.tsv", "no rows")
    (tmp_path / "empty.tsv.gz").write_bytes(gzip.compress(b""))
    refused(tmp_path, tmp_path / "empty.tsv.gz", "empty.tsv.gz", "no rows")


def test_truncated_and_false_gzip(tmp_path):
    packed = gzip.compress("".join(f"{row}\n" for row in random_lines(200)).encode())
    (tmp_path / "a.tsv.gz").write_bytes(packed[:-200])
    refused(tmp_path, tmp_path / "a.tsv.gz", "a.tsv.gz", "cut off")
    (tmp_path / "b.tsv.gz").write_bytes(b"plain text")
    refused(tmp_path, tmp_path / "b.tsv.gz", "b.tsv.gz", "not a valid .gz")
    (tmp_path / "c.tsv.gz").write_bytes(packed[:100] + b"????" + packed[104:])
    refused(tmp_path, tmp_path / "c.tsv.gz", "c.tsv.gz", "not a valid .gz")


def test_output_that_is_something_else(tmp_path):
    path = write(tmp_path / "a.tsv", random_lines(20))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match="holds something else"):
        prepare(path, tmp_path / "home", progress=False)
    assert [p.name for p in (tmp_path / "home").iterdir()] == ["letter.txt"]
    with pytest.raises(DataError, match="not a folder"):
        prepare(path, path, progress=False)


def test_only_folders_made_by_prepare_are_removed(tmp_path):
    path = write(tmp_path / "a.tsv", ["x"])
    (tmp_path / "mine").mkdir()
    for out in ("mine", "mine/a/b/c", "new/a"):
        with pytest.raises(DataError, match="40 columns"):
            prepare(path, tmp_path / out, progress=False)
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["a.tsv", "mine"]


def test_disk_full(tmp_path, monkeypatch):
    def full(self, values):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(npy.NpyAppender, "append", full)
    refused(tmp_path, write(tmp_path / "a.tsv", random_lines(20)), "out", "disk is full")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"split": "8/1"}, "8/1/1"),
        ({"split": "0/1/1"}, "train"),
        ({"split": "time"}, "time column"),
        ({"split": "file"}, "3 files"),
        ({"split": "trian=a.tsv"}, "'train'"),
        ({"split": "train=b.tsv"}, "'a.tsv'"),
        ({"split": "train=a.tsv;test=a.tsv"}, "'a.tsv' twice"),
        ({**CSV, "time_column": "t"}, "for split 'time', got split '8/1/1'"),
        ({**CSV, "format": "parquet", "separator": ";"}, "separator is for csv"),
        ({"format": "cvs"}, "'csv'"),
        ({"format": "csv"}, "label"),
        ({"label": "y"}, "format criteo"),
        ({"min_count": 0}, "min_count"),
        ({"on_bad_row": "ignore"}, "on_bad_row"),
        ({"workers": 0}, "workers"),
        ({**CSV, "dense": ["c"]}, "declared twice"),
        ({**CSV, "separator": "::"}, "separator"),
        ({**CSV, "text": ["d"]}, "not categorical"),
    ],
)
def test_arguments(tmp_path, options, told):
    refused(tmp_path, write(tmp_path / "a.tsv", random_lines(20)), told, error=UsageError, **options)


def test_split_without_rows(tmp_path):
    path = write(tmp_path / "a.tsv", random_lines(8))
    refused(tmp_path, path, "no validation rows")
    assert prepare(path, tmp_path / "out", split="1/0/0", progress=False).rows["test"] == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("y,x,d\n1,2,3\n", ["line 1", "no column 'c'"]),
        ("y,x,c,c\n1,2,3,3\n", ["line 1", "'c' occurs twice"]),
        ("y,x,c\n", ["no rows"]),
        ("y,x,c\n1,2,3\n0,2\n", ["line 3", "3 columns", "'2'"]),
        ('y,x,c\n1,2,"a\nb"\n0,z,c\n', ["line 4", "column x", "'z'"]),
        ('y,x,c\n1,2,"a\n0,2,c\n', ["never closed"]),
        ("y,x,c\n1,inf,3\n", ["line 2", "column x", "finite"]),
        ("y,x,c\n1,1,3\n1,1,-4\n", ["line 3", "column c", "[0, 2^62)", "'-4'"]),
        (f"y,x,c\n1,1,{1 << 62}\n", ["line 2", "column c", "[0, 2^62)"]),
        ("y,x,c\n1,1,3.5\n", ["a.csv: ", "column 'c' holds floats", "--text c"]),
        (f"y,x,c\n1,1,{10**30}\n", ["line 2", "column c", "[0, 2^62)", "--text c"]),
        ("y,x,c\n1,1,3\n1,1,1e5\n", ["line 3", "column c", "[0, 2^62)", "--text c", "'1e5'"]),
        ("y,x,c\n1,1,nan\n1,1,7\n", ["line 2", "column c", "[0, 2^62)", "--text c", "'nan'"]),
        ("y,x,c\n0.5,1,3\n", ["line 2", "column y", "0 or 1"]),
    ],
)
def test_bad_csv(tmp_path, text, told):
    (tmp_path / "a.csv").write_text(text)
    refused(tmp_path, tmp_path / "a.csv", "a.csv", *told, split="1/0/0", **CSV)


def test_bad_parquet(tmp_path):
    import polars as pl

    options = {"format": "parquet", "label": "y", "categorical": ["c"], "split": "1/0/0"}
    pl.DataFrame({"y": [1, 0], "c": [1, -1]}).write_parquet(tmp_path / "a.parquet")
    refused(tmp_path, tmp_path / "a.parquet", "row 2", "column c", "'-1'", **options)
    pl.DataFrame({"y": [1, 0], "c": [1.0, 2.0]}).write_parquet(tmp_path / "a.parquet")
    refused(tmp_path, tmp_path / "a.parquet", "holds floats", **options)
    refused(tmp_path, tmp_path / "a.parquet", "did you mean 'c'", **(options | {"categorical": ["cc"]}))
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really PAR1")
    refused(tmp_path, tmp_path / "a.parquet", "not a readable Parquet", **options)


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("c", [0.7, 0.2], "'c' holds floats"),
        ("c", ["a", "b"], "'c' holds String, in the first file it was integer"),
        ("c", [[1], [2]], "'c' holds List"),
        ("c", [b"a", b"b"], "'c' holds Binary"),
        ("y", [[1], [0]], "'y' holds List"),
        ("x", [{"a": 1}, {"a": 2}], "'x' holds Struct"),
        ("t", ["2024-01-01", "2024-01-02"], "'t' was integer in the first file"),
        ("t", [0.5, 0.6], "'t' holds Float64"),
    ],
)
def test_every_parquet_file_has_the_same_kinds(tmp_path, column, values, told):
    import polars as pl

    columns = {"y": [1, 0], "x": [1.0, 2.0], "c": [1, 2], "t": [1, 2]}
    pl.DataFrame(columns).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame(columns | {column: values}).write_parquet(tmp_path / "b.parquet")
    options = {**CSV, "format": "parquet", "split": "time", "time_column": "t"}
    refused(tmp_path, [tmp_path / "a.parquet", tmp_path / "b.parquet"], "b.parquet: ", told, **options)


def test_unknown_time_column_and_bad_time(tmp_path):
    (tmp_path / "a.csv").write_text("y,x,c,when\n1,1,1,noon\n")
    refused(tmp_path, tmp_path / "a.csv", "did you mean 'when'", split="time", time_column="wen", **CSV)
    refused(tmp_path, tmp_path / "a.csv", "line 2", "column when", "'noon'", split="time", time_column="when", **CSV)


@pytest.mark.parametrize(
    ("times", "bad"),
    [
        ([f"{day}" for day in range(20)], "noon"),
        ([f"2024-01-{day + 1:02d}T10:00:00Z" for day in range(20)], "2024-02-30"),
        ([f"2024-01-{day + 1:02d} 10:00" for day in range(20)], "01/02/2024"),
        ([f"2024-01-{day + 1:02d}" for day in range(20)], "17"),
    ],
)
@pytest.mark.parametrize("place", [0, 13])
def test_a_bad_time_costs_one_row_only(tmp_path, times, bad, place):
    text = "y,x,c,when\n" + "".join(f"1,1,1,{when}\n" for when in [*times[:place], bad, *times[place:]])
    (tmp_path / "a.csv").write_text(text)
    options = {"split": "time", "time_column": "when", **CSV}
    refused(tmp_path, tmp_path / "a.csv", f"line {place + 2}", "column when", repr(bad), **options)
    manifest = prepare(tmp_path / "a.csv", tmp_path / "skipped", on_bad_row="skip", progress=False, **options)
    assert manifest.rows == {"train": 16, "validation": 2, "test": 2}
    assert sum(manifest.skipped.values()) == 1


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-02", 86_400_000_000),
        ("1970-01-01T00:01", 60_000_000),
        ("1970-01-01 00:00:01.5", 1_500_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-01T00", None),
        ("1970-1-1", None),
        ("1970-13-01", None),
    ],
)
def test_iso_times(text, microseconds):
    import polars as pl

    assert convert.iso_times(pl.Series([text, None, "1970-01-01"])).to_list() == [microseconds, None, 0]
