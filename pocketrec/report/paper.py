"""What the paper reports, by the abstract of arXiv 2207.10731: DLRM on Criteo-TB, on its authors' machines."""

COMPRESSION = 10_000
INFLATION = 4.5
"""Iterations to the same saturation quality, compressed / full."""
SPEED_UP = 4.3
"""Training latency, full / compressed."""
TOTAL_TIME = INFLATION / SPEED_UP
"""Computed: about 1.05."""
MARK = "The star is what the paper (arXiv 2207.10731) reports for Criteo-TB."
