"""Full tables, ROBE and the hashing trick on Book-Crossing."""
