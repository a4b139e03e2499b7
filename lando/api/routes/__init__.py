"""The routes, one module per family; each has a ``router``, whose routes :mod:`lando.api.app` takes as they are."""

BESPIN = "/api/v2"
"""Under which Bespin's routes stand."""
BESPIN_V1 = "/api"
"""The older prefix: only what clients and operators still use of it."""
LANDO = "/api/lando/v1"
"""Under which Lando's own stand."""
