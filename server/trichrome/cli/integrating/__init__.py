"""Registrations in the files of Claude Code and Claude Desktop: what is to be written, writing it, taking it back."""
