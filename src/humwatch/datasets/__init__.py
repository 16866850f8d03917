"""Recordings: where they come from (`source`), what their names say, and the checks that come before anything is computed."""
