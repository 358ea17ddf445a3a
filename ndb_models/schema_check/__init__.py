"""Checks that a changed model reads what is stored: freezing its schema, and comparing it with a frozen one."""
