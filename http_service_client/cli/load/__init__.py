"""Load: many calls to one URL, and what became of them."""
