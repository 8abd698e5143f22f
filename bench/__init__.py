"""The proof: figures as ratios against a floor that is taken in the same run. `make bench`, `make bench-quick`."""
