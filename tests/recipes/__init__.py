"""One new file for each recipe of CONTRIBUTING.md; `tests/unit/test_recipes.py` adds it to a copy of the package."""
