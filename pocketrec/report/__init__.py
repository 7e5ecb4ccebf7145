"""Reports (floor 9): a study as one self-contained page with its figures; two runs side by side."""

from pocketrec.report.comparison import (
    Finished as Finished,
    draw_comparison as draw_comparison,
    read_finished as read_finished,
)
from pocketrec.report.looks import COLOURS as COLOURS
