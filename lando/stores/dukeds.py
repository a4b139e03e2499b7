"""Duke Data Service (``dds:``): its client library is an extra of its own."""

from __future__ import annotations

from typing import NoReturn

from lando.errors import ConfigError


def open_dukeds(url: str) -> NoReturn:
    """Say that this installation can't speak to the Duke Data Service.

    Raises:
        ConfigError: Always.
    """
    raise ConfigError(
        f"{url} lies in the Duke Data Service, which these step programs do not speak; give the runtime's stage_data "
        "and save_output steps an image that does (lando-util), or use file://, gs:// or s3://."
    )
