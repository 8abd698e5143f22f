"""Multi-Claude orchestration: several Claude instances work on one request, on one durable log."""
