"""The pages of docs/reference/, computed from the code; scripts/write_reference.py writes them."""
