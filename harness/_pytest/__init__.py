"""The pytest plugin: `plugin.py` is what pytest loads, and costs nothing; the rest is imported when
a test uses a fixture."""
