"""The log and its views behind one port: in memory, in SQLite, later in PostgreSQL."""
