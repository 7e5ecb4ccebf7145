"""Who meets whom in the memory, table by table."""

from __future__ import annotations

from dataclasses import dataclass

from pocketrec import theory
from pocketrec.plan.workload import Workload


@dataclass(frozen=True)
class TablePlan:
    """What sharing does to one table."""

    name: str
    num_embeddings: int
    embedding_dim: int
    collision_mass: float
    """Expected share of its chunk reads that share a slot with another id seen: `theory.collision_mass`."""
    interference: float
    """Lookups of other ids / of the id itself at a slot that is read: `theory.interference`. Ruled by hot ids."""
    own_share: float
    """Mean share of a slot's lookups that are the id's own: `theory.own_share`."""


@dataclass(frozen=True)
class Loads:
    """How many elements of the tables one slot serves."""

    mean: float
    largest: float
    """Expected, of the fullest slot; an upper estimate for chunks of more than one element. Stable steps of full
    gradients shrink by at most that (`theory.largest_stable_step_ratio`)."""
    retuned_inflation: float
    """At most so many times the iterations, of full gradients, to the memory's own optimum, when the step is chosen
    anew (`theory.retuned_inflation`)."""


def loads(workload: Workload, slots: int) -> Loads:
    """Of a memory of so many slots."""
    elements = workload.num_elements
    return Loads(
        elements / slots, theory.expected_largest_load(elements, slots), theory.retuned_inflation(elements, slots)
    )


def table_plans(workload: Workload, slots: int, chunk_size: int) -> tuple[TablePlan, ...]:
    """Every table of the workload, in its order."""
    profiles, widths = workload.profiles, workload.widths
    masses = theory.collision_mass(profiles, slots, widths, chunk_size)
    disturbed = theory.interference(profiles, slots, widths)
    own = theory.own_share(profiles, slots, widths)
    return tuple(
        TablePlan(table.name, table.num_embeddings, table.embedding_dim, *told)
        for table, *told in zip(workload.tables, masses, disturbed, own, strict=True)
    )
