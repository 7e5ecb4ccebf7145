"""The hashes are frozen: a changed bit would scramble every stored model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pocketrec import hashing, kernels
from pocketrec.ops import FeatureLayout, Rule, Sign
from pocketrec.ops.layout import to_tensor

IDS = np.array([0, 1, 2, 12345, 2**32 - 1, 2**61 + 7, 2**62 - 1])[:, None]
CHUNKS = np.array([0, 1, 7])

# (seed, table) -> the key, the place among 1,000,003 of each id in IDS at each chunk in CHUNKS, its sign at chunk 0.
MIXING = {
    (0, 0): (
        2158877437495972032,
        [
            [511478, 271086, 865177],
            [69202, 225409, 860585],
            [943200, 542860, 421996],
            [198079, 846506, 343069],
            [258320, 744567, 753],
            [444745, 399709, 162645],
            [306529, 776994, 260600],
        ],
        [1, 1, 1, -1, -1, 1, -1],
    ),
    (7, 3): (
        7914447657749728036,
        [
            [906769, 701747, 814874],
            [393886, 317548, 460856],
            [642041, 615256, 525610],
            [168068, 543212, 56744],
            [960847, 999533, 449167],
            [285988, 571542, 66784],
            [364322, 59442, 18925],
        ],
        [1, -1, -1, 1, 1, -1, -1],
    ),
    (2**62 - 1, 25): (
        6567883821783390159,
        [
            [872598, 210512, 288664],
            [110629, 193388, 544443],
            [588505, 476835, 772818],
            [480286, 76305, 321783],
            [856774, 833009, 681443],
            [82253, 825133, 937733],
            [116983, 996673, 690059],
        ],
        [-1, 1, -1, -1, 1, 1, 1],
    ),
}

# (seed, table) -> coefficients for places, for signs, and the hash of each id at each chunk.
LINEAR = {
    (0, 0): (
        (1364804040, 1326989148, 1180488997),
        (1692227566, 1175564349, 315377332),
        [
            [1364804040, 507218294, 1475928047],
            [653718445, 1834207442, 764842452],
            [1980707593, 1123121847, 53756857],
            [1001051866, 143466120, 1112175873],
            [1410229210, 552643464, 1521353217],
            [1013835487, 156249741, 1124959494],
            [1138777144, 281191398, 1249901151],
        ],
    ),
    (7, 3): (
        (976949611, 558176695, 1975793482),
        (139557617, 1053706146, 174453147),
        [
            [976949611, 914668350, 540980784],
            [1535126306, 1472845045, 1099157479],
            [55228258, 2031021740, 1657334174],
            [937543303, 875262042, 501574476],
            [1721090435, 1658809174, 1285121608],
            [872267334, 809986073, 436298507],
            [547233604, 484952343, 111264777],
        ],
    ),
}

# (M, Z, val_offset), id -> first slot of each block, as the authors' class computes them.
AUTHORS = {
    (1000, 8, 0): {0: [619, 856], 1: [404, 641], 39_999_999: [314, 551], 10**9: [809, 53]},
    (2_700_000, 1, 0): {
        0: [2529019, 306517, 784015, 836256],
        1: [1634375, 2111873, 2589371, 366869],
        39_999_999: [2612321, 389819, 867317, 1344815],
        10**9: [1550609, 2028107, 2505605, 283103],
    },
    (27_000_000, 32, 100_000): {
        0: [6966601, 10143851, 13321101, 16498351],
        1: [1095881, 4273131, 7450381, 23704699],
        39_999_999: [7473734, 10650984, 26905302, 3082583],
        10**9: [9112177, 12289427, 15466677, 4721026],
    },
}


@pytest.fixture(params=["numpy", "torch"])
def as_array(request):
    return (lambda a: a) if request.param == "numpy" else torch.from_numpy


@pytest.mark.parametrize(("seed", "table"), MIXING)
def test_mixing_hash_is_frozen(seed, table, as_array):
    key, places, signs = MIXING[seed, table]
    assert hashing.mixing_key(seed, table) == key
    hashed = hashing.mixing_hash(as_array(IDS), as_array(CHUNKS), key)
    assert hashing.scale(hashed, 1_000_003).tolist() == places
    assert hashing.chunk_sign(hashed)[:, 0].tolist() == signs


@pytest.mark.parametrize(("seed", "table"), LINEAR)
def test_linear_hash_is_frozen_and_does_not_overflow(seed, table, as_array):
    places, signs, hashed = LINEAR[seed, table]
    assert hashing.linear_coefficients(seed, table) == places
    assert hashing.linear_coefficients(seed, table, stream=1) == signs
    assert hashing.linear_hash(as_array(IDS), as_array(CHUNKS), *places).tolist() == hashed
    constant, id_factor, chunk_factor = places
    exact = [
        [(x * id_factor + c * chunk_factor + constant) % hashing.PRIME for c in (0, 1, 7)] for (x,) in IDS.tolist()
    ]
    assert hashed == exact, "Python's unbounded integers give the formula itself"


@pytest.mark.parametrize(("memory_size", "chunk_size", "offset"), AUTHORS)
def test_authors_kernel_is_bit_exact(memory_size, chunk_size, offset, as_array):
    for x, slots in AUTHORS[memory_size, chunk_size, offset].items():
        ids, blocks = np.array([x]), np.arange(len(slots))
        hashed = hashing.linear_hash(as_array(ids), as_array(blocks), *hashing.authors_coefficients(offset))
        assert (hashed % (memory_size - chunk_size + 1)).tolist() == slots


@pytest.mark.skipif(kernels.cpu() is None, reason="no C++ kernel")
@pytest.mark.parametrize("seed_table", MIXING)
def test_the_kernel_places_and_signs_as_frozen(seed_table):
    """One slot a place, each holding its own number: what comes back says where the kernel looked, and the sign."""
    key, places, signs = MIXING[seed_table]
    read = _slots_read(_layout(Rule.MIXING, place_0=key, sign=Sign.PER_CHUNK))
    assert [[slot for slot, _ in row] for row in read] == places
    assert [row[0][1] for row in read] == signs


@pytest.mark.skipif(kernels.cpu() is None, reason="no C++ kernel")
@pytest.mark.parametrize("seed_table", LINEAR)
def test_the_kernel_hashes_linearly_as_frozen(seed_table):
    (constant, id_factor, chunk_factor), _, hashed = LINEAR[seed_table]
    read = _slots_read(_layout(Rule.LINEAR, place_0=constant, place_1=id_factor, place_2=chunk_factor))
    assert [[slot for slot, _ in row] for row in read] == [[h % 1_000_003 for h in row] for row in hashed]


def _layout(rule, **placement):
    """One feature whose rows are eight chunks of one slot."""
    ids = {"num_embeddings": hashing.ID_LIMIT, "padding": -1, "dim": 8, "column": 0, "mode": 0, "base": 0}
    memory = {"span": 1_000_003, "chunk": 1, "align": 1, "places": 1_000_003, "sign": 0}
    return FeatureLayout(rule=rule, **(ids | memory | placement))


def _slots_read(layout):
    """For each id in IDS and chunk in CHUNKS: (slot, sign) as the C++ kernel reads them."""
    memory = torch.arange(1, 1_000_004, dtype=torch.float64)
    read = kernels.cpu().lookup(memory, torch.from_numpy(IDS), None, None, to_tensor([layout]), 8)
    return [[(int(abs(v)) - 1, 1 if v > 0 else -1) for v in row] for row in read[:, CHUNKS].tolist()]


def test_authors_constants_come_from_their_generator():
    drawn = np.random.RandomState(1024).randint(0, hashing.PRIME, 3)
    assert drawn.tolist() == [hashing.AUTHORS_CONSTANT, hashing.AUTHORS_CHUNK, hashing.AUTHORS_ID]


def test_text_id_is_62_bits_of_sha256():
    frozen = {
        "a": 3649569658711240562,
        "abc": 3359128625063425018,
        "Zürich": 1194678858166742413,
        "日本": 3731988493668764082,
    }
    assert {text: hashing.text_id(text) for text in frozen} == frozen
    assert hashing.text_id("") == hashing.BLANK_ID
    assert all(0 <= i < hashing.ID_LIMIT for i in frozen.values())


def test_mixing_places_spread_like_chance():
    """Catches a hash that drops bits: counts of consecutive ids look Poisson, chunks do not repeat places."""
    ids = np.arange(200_000)
    first = hashing.scale(hashing.mixing_hash(ids, np.int64(0), hashing.mixing_key(1, 2)), 1000)
    second = hashing.scale(hashing.mixing_hash(ids, np.array(1), hashing.mixing_key(1, 2)), 1000)
    counts = np.bincount(first, minlength=1000)
    assert 0.85 < counts.var() / counts.mean() < 1.15
    assert abs(np.mean(first == second) - 1 / 1000) < 5e-4


def test_no_seed_and_table_give_a_trivial_key():
    keys = {hashing.mixing_key(seed, table) for seed in range(50) for table in range(50)}
    assert len(keys) == 2500
    assert 0 not in keys
