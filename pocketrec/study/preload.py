# ruff: noqa: F401
"""What every run needs, imported once for all of them: seconds a run otherwise, more than a small one trains."""

import torch._dynamo
import torchmetrics.functional.classification

import pocketrec.models
import pocketrec.optim
import pocketrec.runs.flags
import pocketrec.study.work
