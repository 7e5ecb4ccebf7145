"""Files that are no artifacts, or not whole: refused by name before anything is taken from them."""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile

import made
import pytest
from sealing import GOOD, parts, refused, sealed

from pocketrec.artifact import ArtifactError, artifact_of, read_artifact
from pocketrec.artifact.archive import GRAPH, RECIPE


def test_the_parts_are_good():
    assert artifact_of(GOOD).recipe.name == "small"


def zipped(entries: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """By Python's own writer."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            filler = -(file.tell() + 30 + len(name) + 4) % 64
            info.extra = struct.pack("<2H", 0x6B70, filler) + bytes(filler)
            archive.writestr(info, content)
    return file.getvalue()


ENTRIES = list(sealed(parts()).items())


def test_another_writer_of_aligned_stored_entries_is_understood():
    assert artifact_of(zipped(ENTRIES)).recipe.name == "small"


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (b"", "0 bytes are too few"),
        (b"PK", "too few"),
        (b"<html>" + bytes(1000), "not a pocketrec artifact"),
        (GOOD[:-1], "cut short"),
        (GOOD[: len(GOOD) // 2], "cut short"),
        (GOOD + b"x", "cut short, or more was added"),
        (b"MZ" + GOOD, "not a pocketrec artifact"),
        (zipped(ENTRIES[:2]), "2 entries; an artifact has 3"),
        (zipped([*ENTRIES, ("evil.sh", b"rm")]), "4 entries"),
        (
            zipped([*ENTRIES[:2], ("model.safetensorx", b"x")]).replace(b"sorx", b"sors"),
            "'model.safetensors' where model.onnx belongs",
        ),
        (zipped([*ENTRIES[:2], ("../../root/.profile", b"x")]), "'../../root/.profile' where model.onnx belongs"),
        (zipped([*ENTRIES[:2], ("/etc/passwd", b"x")]), "'/etc/passwd' where"),
        (zipped([ENTRIES[1], ENTRIES[0], ENTRIES[2]]), "where recipe.json belongs"),
        (zipped(ENTRIES, zipfile.ZIP_DEFLATED), "recipe.json is compressed"),
        (zipped([(RECIPE, bytes(50_000_000)), *ENTRIES[1:]], zipfile.ZIP_DEFLATED), "recipe.json is compressed"),
        (GOOD.replace(b"PK\x03\x04\x0a\x00\x00\x00", b"PK\x03\x04\x0a\x00\x01\x00", 1), "encrypted or streamed"),
    ],
)
def test_zips_that_are_no_artifacts(contents, said):
    assert said in refused(contents)


def test_entries_that_are_not_aligned():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in ENTRIES:
            archive.writestr(name, content)
    assert "not aligned" in refused(file.getvalue())


@pytest.mark.parametrize("at", range(0, len(GOOD), 97))
def test_a_flipped_bit_changes_nothing_or_is_found(at):
    changed = bytearray(GOOD)
    changed[at] ^= 4
    with contextlib.suppress(ArtifactError):
        assert artifact_of(bytes(changed)).recipe == artifact_of(GOOD).recipe


def test_hashes_are_held_against_the_entries():
    """A zip whose own checksums were made to agree."""
    entries = sealed(parts())
    assert "its SHA-256 is another" in refused(made.packed(entries | {GRAPH: entries[GRAPH] + b" "}))


def test_empty_and_absent_files(tmp_path):
    empty = tmp_path / "empty.pocket"
    empty.touch()
    with pytest.raises(ArtifactError, match=r"empty\.pocket: 0 bytes"):
        read_artifact(empty)
    with pytest.raises(FileNotFoundError):
        read_artifact(tmp_path / "absent.pocket")


def test_a_file_of_5_gb_is_refused_by_its_size(tmp_path):
    path = tmp_path / "large.pocket"
    with open(path, "wb") as file:
        file.truncate(5 << 30)  # sparse
    with pytest.raises(ArtifactError, match="fewer than 4 GiB"):
        read_artifact(path)
