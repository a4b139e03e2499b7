"""The routes, one module per family; each has a ``router`` that :mod:`lando.api.app` includes under its prefix."""
