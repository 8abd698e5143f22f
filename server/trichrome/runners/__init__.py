"""Ways to have a worker: each runner knows how to start one, and what that worker does with a task."""
