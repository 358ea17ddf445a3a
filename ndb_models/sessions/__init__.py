"""A typed session's keys: creating, reading, changing and ending it, and what is made of a read."""
