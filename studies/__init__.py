"""The experiments: each folder has cells (what runs), a study (runs it) and tables (rows -> README)."""
