"""All sharing schemes on Book-Crossing."""
