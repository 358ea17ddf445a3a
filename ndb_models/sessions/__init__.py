"""The keys of typed sessions: creating, reading, changing and ending sessions, and judging what was read."""
