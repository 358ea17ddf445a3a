"""Checks that a changed model reads stored sessions: freezes its schema, and compares it with a frozen one."""
