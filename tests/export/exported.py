"""What the tests of exports share: embeddings of every scheme, and graphs run where no PyTorch is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime
import torch
from lookups import ALL
from torch import Tensor, nn

from pocketrec import EmbeddingBagCollection, Full, Table, encode
from pocketrec.compress.transform import table_weights
from pocketrec.errors import UsageError
from pocketrec.export.graph import Graph, place

LIMITS = (129, 7, 7, 1000)
"""What ids of each feature are below."""
FORBIDDEN = {"Loop", "Scan", "If"}


def embeddings(scheme: str, dim: int = 12, pooling: str = "sum", padding: int | None = None, dtype=None, seed: int = 0):
    """Three tables, four features, rows of some size; a budget that the scheme can do with."""
    torch.manual_seed(seed)
    tables = [
        Table("a", 129, dim, pooling=pooling, padding_idx=padding),
        Table("b", 7, dim, ("b1", "b2"), pooling=pooling),
        Table("c", 1000, dim, pooling=pooling),
    ]
    for slots in (1500, 6000, 20_000):
        budget = {} if scheme == "full" else {"memory_size": slots}
        try:
            return EmbeddingBagCollection(tables, ALL[scheme], init=1.0, seed=seed, dtype=dtype, **budget).eval()
        except UsageError as error:
            if "at least" not in str(error):
                raise
    raise AssertionError(scheme)


def heated(module: EmbeddingBagCollection) -> EmbeddingBagCollection:
    """After some training batches, for maps that adapt: hot ids, pointers."""
    module.train()
    for _ in range(5):
        module(random_ids(300))
    return module.eval()


def coded(kept: str = "abc", memory_bytes: int = 6000, dims: Sequence[int] = (12, 12, 12)) -> EmbeddingBagCollection:
    """Tables of codes, made from full ones; those not `kept` have rows so small that no codes are spent on them."""
    torch.manual_seed(0)
    rows = zip("abc", (129, 7, 1000), dims, (("a",), ("b1", "b2"), ("c",)), strict=True)
    full = EmbeddingBagCollection([Table(*table) for table in rows], Full(), init=1.0)
    with torch.no_grad():
        for table, weight in zip(full.tables, table_weights(full), strict=True):
            weight.mul_(1 if table.name in kept else 1e-4)
    counts = [torch.arange(table.num_embeddings, 0, -1) for table in full.tables]
    made = encode(full, memory_bytes=memory_bytes, counts=counts).eval()
    stored = dict(zip("abc", made.recovery.components.tolist(), strict=True))
    assert all((stored[name] > 0) == (name in kept) for name in "ac")
    return made


def random_ids(*shape: int) -> Tensor:
    """(B, F) or (B, F, K) within the tables; small ids come most often."""
    ids = [(torch.rand(shape[0], *shape[1:]) ** 2 * limit).long() for limit in LIMITS]
    return torch.stack(ids, 1)


class Several(nn.Module):
    """Modules of the same ids, their outputs beside each other: one export for all of them."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules.values())

    def forward(self, ids: Tensor) -> Tensor:
        """(B, modules, width)."""
        return torch.stack([part(ids).flatten(1) for part in self.parts], 1)


def weights_of(graph: Graph) -> tuple[bytes, bytes]:
    """The graph placed, and the file it looks for."""
    offsets, blob = {}, b""
    for name, tensor in graph.tensors.items():
        offsets[name] = (len(blob), tensor.nbytes)
        blob += tensor.tobytes()
    return place(graph.proto, offsets), blob


def session_of(graph: Graph) -> onnxruntime.InferenceSession:
    """The graph, loaded."""
    file, blob = weights_of(graph)
    options = onnxruntime.SessionOptions()
    options.add_external_initializers_from_files_in_memory(["model.safetensors"], [blob], [len(blob)])
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def assert_plain(proto) -> None:
    """No loops, branches or sequences, no operators but ONNX's own; opset 20; no names of this machine's folders."""
    operators = {node.op_type for node in proto.graph.node}
    assert not operators & FORBIDDEN
    assert not [word for word in operators if "Sequence" in word]
    assert {node.domain for node in proto.graph.node} <= {""}
    assert [(own.domain, own.version) for own in proto.opset_import] == [("", 20)]
    assert b".py" not in proto.SerializeToString()


def probabilities(model: nn.Module, ids, dense: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """What PyTorch says, by the log's own policy."""
    with torch.no_grad():
        transformed = torch.from_numpy(np.log1p(np.maximum(np.nan_to_num(dense), 0)))
        return model(transformed, torch.from_numpy(ids.translate(raw))).sigmoid().numpy()
