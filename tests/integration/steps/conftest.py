"""What a step's program finds around it."""

from tests.services.step_surroundings import termination

__all__ = ["termination"]
