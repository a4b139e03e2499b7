"""What a setting must hold besides its type: by the metadata of a field, by section; and what is worth a warning."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from lando.config.settings import ClusterSettings, Config, WorkQueueSettings

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def environment_name(key: str) -> str:
    """The environment variable of a dotted secret key: ``bespin_api.token`` is ``LANDO_BESPIN_API_TOKEN``."""
    return "LANDO_" + key.replace(".", "_").upper()


def broken(metadata: Mapping[str, Any], value: Any) -> Iterator[str]:
    """A sentence for each rule in a field's ``metadata`` that ``value`` breaks; none shows a secret."""
    for rule, check in _FIELD_RULES.items():
        if rule in metadata and (sentence := check(metadata, value)):
            yield sentence


def _choices(metadata: Mapping[str, Any], value: Any) -> str | None:
    choices = metadata["choices"]
    return None if value in choices else f"must be one of {', '.join(choices)}, not {value}."


def _range(metadata: Mapping[str, Any], value: Any) -> str | None:
    minimum, maximum = metadata["minimum"], metadata["maximum"]
    if value >= minimum and (maximum is None or value <= maximum):
        return None
    bounds = f"{minimum} or more" if maximum is None else f"{minimum} to {maximum}"
    return f"must be {bounds}, not {value}."


def _url_suffix(metadata: Mapping[str, Any], value: Any) -> str | None:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return "must be an http or https URL."
    if not parts.path.rstrip("/").endswith(metadata["url_suffix"]):
        return f"must end in {metadata['url_suffix']}, not {parts.path or 'nothing'}."
    return None


def _schemes(metadata: Mapping[str, Any], value: Any) -> str | None:
    schemes = metadata["schemes"]
    if urlsplit(value).scheme in schemes:
        return None
    return f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}."


def _log_level(metadata: Mapping[str, Any], value: Any) -> str | None:
    if isinstance(value, int) or value.upper() in LOG_LEVELS or value.isdigit():
        return None
    return f"must be one of {', '.join(LOG_LEVELS)} or a number, not {value}."


def _keys(metadata: Mapping[str, Any], value: Any) -> str | None:
    wrong = sorted(set(value) - set(metadata["keys"]))
    return f"{', '.join(wrong)}: no such step type; known are {', '.join(metadata['keys'])}." if wrong else None


_FIELD_RULES: Mapping[str, Callable[[Mapping[str, Any], Any], str | None]] = {
    "choices": _choices,
    "minimum": _range,
    "url_suffix": _url_suffix,
    "schemes": _schemes,
    "log_level": _log_level,
    "keys": _keys,
}


def _work_queue(given: Collection[str]) -> Iterator[tuple[str, str]]:
    """Either ``url``, or host and login."""
    if "url" in given or "url_file" in given:
        return
    for name, spellings in {"host": ("host", "hosts"), "username": ("username",)}.items():
        if not any(spelling in given for spelling in spellings):
            yield name, "is required, unless url is given."
    if "password" not in given and "password_file" not in given:
        variable = environment_name("work_queue.password")
        yield "password", f"is required (or password_file, or the environment's {variable}), unless url is given."


def _cluster(given: Collection[str]) -> Iterator[tuple[str, str]]:
    """Either host and token, or a kubeconfig, or the pod's own account."""
    if "kubeconfig" in given or "in_cluster" in given:
        return
    if "host" not in given:
        yield "host", "is required, unless kubeconfig or in_cluster is given."
    if "token" not in given and "token_file" not in given:
        variable = environment_name("cluster_api_settings.token")
        yield (
            "token",
            f"is required (or token_file, or the environment's {variable}), unless kubeconfig or in_cluster is.",
        )


SECTIONS: Mapping[type[Any], Callable[[Collection[str]], Iterator[tuple[str, str]]]] = {
    WorkQueueSettings: _work_queue,
    ClusterSettings: _cluster,
}
"""By section: what no single key can tell. Each gets the keys that have a value and yields key and sentence."""


def warnings(config: Config, keys: Collection[str]) -> Iterator[tuple[str, str]]:
    """What is allowed but worth saying, as key and sentence; ``keys`` are the dotted keys that stand in the file."""
    cluster = config.cluster_api_settings
    if cluster.host and not cluster.verify_ssl:
        yield (
            "cluster_api_settings.verify_ssl",
            "is off: anyone on the way can read the token. Give ssl_ca_cert instead.",
        )
    store = config.data_store_settings
    if store.url is not None and store.url.startswith(("dds:", "dukeds:")) and store.secret_name is None:
        yield (
            "data_store_settings.url",
            "is the Duke Data Service, which needs a credential: give secret_name, or no result can be saved.",
        )
    if "record_output_project_settings" not in keys:
        yield (
            "record_output_project_settings",
            "is missing; a record step runs under the namespace's default account.",
        )
