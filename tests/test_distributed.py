"""Two gloo processes: DDP, both kinds of FSDP, and what is said where a memory is looked up while it is sharded."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from pocketrec import (
    Clustered,
    DeepHash,
    EmbeddingBagCollection,
    Full,
    HashEmbeddings,
    HashingTrick,
    HotCold,
    LowRank,
    QuotientRemainder,
    Robe,
    Table,
    optim,
)

WORLD, STEPS = 2, 3
FIXED = {
    "robe": Robe(4),
    "hashing-trick": HashingTrick(),
    "full": Full(),
    "hash-embeddings": HashEmbeddings(),
    "qr": QuotientRemainder("multiply"),
    "low-rank": LowRank(rows="hashed"),
    "dhe": DeepHash(depth=1),
}
ADAPTING = {"cce": Clustered(columns=2, every=1, times=2), "hot-cold": HotCold(Robe(4))}
SCHEMES = FIXED | ADAPTING
SIZES = (100, 50)


class Model(nn.Module):
    def __init__(self, scheme: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        tables = [Table(f"t{i}", n, 8) for i, n in enumerate(SIZES)]
        budget = {} if scheme == "full" else {"memory_size": 331}  # odd: halves are not equal
        self.embeddings = EmbeddingBagCollection(tables, SCHEMES[scheme], init=0.5, **budget)
        self.dense = nn.Linear(16, 1)

    def forward(self, ids: Tensor) -> Tensor:
        return self.dense(self.embeddings(ids).flatten(1))


def batch(rank: int, step: int) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(10 * step + rank)
    ids = torch.stack([torch.randint(0, n, (16,), generator=drawn) for n in SIZES], 1)
    return ids, torch.rand(16, 1, generator=drawn)


def ddp(model: Model) -> nn.Module:
    return nn.parallel.DistributedDataParallel(model)


def fsdp1(model: Model, use_orig_params: bool) -> nn.Module:
    from torch.distributed.fsdp import FullyShardedDataParallel

    return FullyShardedDataParallel(model, device_id=torch.device("cpu"), use_orig_params=use_orig_params)


def fsdp2(model: Model, own_group: bool) -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (WORLD,))
    if own_group:
        fully_shard(model.embeddings, mesh=mesh)
    return fully_shard(model, mesh=mesh)


WRAPS = {
    "ddp": ddp,
    "fsdp1": partial(fsdp1, use_orig_params=False),
    "fsdp1-original-parameters": partial(fsdp1, use_orig_params=True),
    "fsdp2": partial(fsdp2, own_group=False),
    "fsdp2-own-group": partial(fsdp2, own_group=True),
}
LOOKED_UP_OUTSIDE = ("fsdp1", "fsdp1-original-parameters", "fsdp2")


def train(scheme: str, wrap: str, rank: int) -> dict[str, Any]:
    """What one process ends with: outputs for every rank's last batch, and what a lookup between steps says."""
    model = Model(scheme)
    wrapped = WRAPS[wrap](model)
    optimizer = torch.optim.Adagrad(wrapped.parameters(), lr=0.1)
    for step in range(STEPS):
        ids, labels = batch(rank, step)
        optimizer.zero_grad()
        try:
            out = wrapped(ids)
        except ValueError as error:
            return {"refused": str(error)}
        (out - labels).pow(2).mean().backward()
        optimizer.step()
    told = None
    if wrap in LOOKED_UP_OUTSIDE:
        try:
            with torch.no_grad():
                model.embeddings(batch(0, 0)[0])
        except ValueError as error:
            told = str(error)
    with torch.no_grad():
        out = torch.cat([wrapped(batch(r, STEPS)[0]) for r in range(WORLD)])
    return {"out": out, "told": told}


def fused(rank: int) -> str:
    model = Model("robe")
    optimizer = optim.SGD(model)
    model(batch(rank, 0)[0]).sum().backward()
    try:
        optimizer.step()
    except ValueError as error:
        return str(error)
    return "stepped"


def one_whole_state(rank: int) -> Tensor:
    """A sharded model's state, gathered, in a model of one process."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    model, plain = Model("robe"), Model("robe")
    nn.init.zeros_(plain.embeddings.memory)
    state = get_model_state_dict(fsdp2(model, own_group=False), options=StateDictOptions(full_state_dict=True))
    if rank != 0:  # only the first process is given the state
        return torch.zeros(0)
    plain.load_state_dict(state)
    return plain(batch(0, 0)[0]).detach()


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD)
    found: dict[str, Any] = {f"{s} {w}": train(s, w, rank) for s in SCHEMES for w in WRAPS}
    found |= {"fused": fused(rank), "state": one_whole_state(rank)}
    torch.save(found, f"{folder}/{rank}.pt")
    dist.barrier()
    # Gloo's threads outlive the group: one that still held a tensor would abort an interpreter that ends around it.
    os._exit(0)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Of each process; all scenarios in one pair of them, since starting a pair takes seconds."""
    folder = tmp_path_factory.mktemp("distributed")
    started = torch.multiprocessing.spawn(work, (str(folder),), nprocs=WORLD, join=False)
    deadline = time.monotonic() + 300
    while not started.join(timeout=5):
        if time.monotonic() > deadline:
            for process in started.processes:
                process.kill()
            pytest.fail("two processes did not end within 300 s")
    return [torch.load(Path(folder) / f"{rank}.pt") for rank in range(WORLD)]


def alone(scheme: str) -> Tensor:
    """One process that sees both batches of every step."""
    model = Model(scheme)
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.1)
    for step in range(STEPS):
        optimizer.zero_grad()
        for ids, labels in (batch(rank, step) for rank in range(WORLD)):
            ((model(ids) - labels).pow(2).mean() / WORLD).backward()
        with torch.sparse.check_sparse_tensor_invariants(False):
            optimizer.step()
    with torch.no_grad():
        return torch.cat([model(batch(rank, STEPS)[0]) for rank in range(WORLD)])


@pytest.mark.parametrize("scheme", FIXED)
@pytest.mark.parametrize("wrap", WRAPS)
def test_two_processes_train_as_one_and_end_with_the_same_bits(outcomes, scheme, wrap):
    """A gradient that is not added up, or a memory that comes back from its shards in another order."""
    first, second = (found[f"{scheme} {wrap}"]["out"] for found in outcomes)
    assert torch.equal(first, second)
    torch.testing.assert_close(first, alone(scheme), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scheme", ADAPTING)
def test_two_processes_learn_the_same_map(outcomes, scheme):
    """Maps learned from one's own batches alone would drift apart."""
    first, second = (found[f"{scheme} ddp"]["out"] for found in outcomes)
    assert torch.equal(first, second)


@pytest.mark.parametrize("scheme", ADAPTING)
@pytest.mark.parametrize("wrap", [wrap for wrap in WRAPS if wrap != "ddp"])
def test_a_sharded_memory_is_not_adapted(outcomes, scheme, wrap):
    """What a map writes into the whole memory is lost when FSDP drops it: the pointers moved and the rows did not."""
    for found in outcomes:
        assert "FSDP's shards would lose that: leave the embeddings out of FSDP" in found[f"{scheme} {wrap}"]["refused"]


@pytest.mark.parametrize("scheme", FIXED)
@pytest.mark.parametrize("wrap", LOOKED_UP_OUTSIDE)
def test_a_sharded_memory_is_not_read(outcomes, scheme, wrap):
    """FSDP frees the whole memory between steps: reading it then was a segmentation fault."""
    for found in outcomes:
        assert "the memory is sharded: it is whole only inside the forward" in found[f"{scheme} {wrap}"]["told"]


def test_a_sharded_model_leaves_an_ordinary_state(outcomes):
    assert torch.equal(outcomes[0]["state"], Model("robe")(batch(0, 0)[0]))


def test_fused_optimisers_refuse_company(outcomes):
    assert all("replicas would drift" in found["fused"] for found in outcomes)
