"""Triton decides when it is imported whether kernels are compiled or interpreted: say so before any test imports it."""

import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
