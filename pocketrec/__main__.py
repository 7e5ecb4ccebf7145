"""`python -m pocketrec`."""

import sys

from pocketrec.cli import main

sys.exit(main())
