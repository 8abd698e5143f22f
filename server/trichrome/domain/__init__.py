"""The pure core: what a task, an attempt, a run may do, and what follows.

Nothing here reads a clock, a file or a database. `decide` turns a state and a command into events or a refusal;
`evolve` folds an event into a state. Everything hard is here, so that everything hard is testable without a store.
"""
