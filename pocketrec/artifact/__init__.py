"""The artifact (floor 2): a trained model as one small file, NAME.pocket. See docs/format.md. Never imports torch."""

from pocketrec.artifact.errors import ArtifactError
from pocketrec.artifact.read import Artifact, artifact_of, read_artifact
from pocketrec.artifact.recipe import Categorical, Example, Inputs, Recipe
from pocketrec.artifact.tensors import offsets_of
from pocketrec.artifact.write import write_artifact

__all__ = [
    "Artifact",
    "ArtifactError",
    "Categorical",
    "Example",
    "Inputs",
    "Recipe",
    "artifact_of",
    "offsets_of",
    "read_artifact",
    "write_artifact",
]
