"""The torture bench: real clients and real servers on a scratch project, while a conductor breaks things.

`client` is the process that asks, and writes down what it asked and what it was told; `server` is the product's own
server on a clock and a disk that can be made to fail; `conductor` injects the faults that `faults` drew from a seed;
`checker` reads what was written down beside the log, and says which promise did not hold.
"""
