"""Which proxy lies on the way: the setting's, else the environment's, and for whom none does."""

from __future__ import annotations

import pytest
from lando import proxies

ENVIRONMENT = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "internal.example.org, .campus.edu,10.0.0.0/8,api:8443"}


@pytest.mark.parametrize(
    ("url", "is_through"),
    [
        ("https://k8s.example.org:6443", True),
        ("http://k8s.example.org", False),
        ("https://internal.example.org", False),
        ("https://x.internal.example.org/api", False),
        ("https://notinternal.example.org", True),
        ("https://mq.campus.edu", False),
        ("https://10.1.2.3:6443", False),
        ("https://11.1.2.3:6443", True),
        ("https://api:8443", False),
        ("https://api:443", True),
        ("https://127.0.0.1:6443", False),
        ("https://[::1]:6443", False),
        ("https://localhost", False),
    ],
)
def test_the_environment_names_the_proxy_of_https_and_who_is_exempt(url: str, is_through: bool) -> None:
    assert proxies.proxy_for(url, None, ENVIRONMENT) == ("http://proxy:3128" if is_through else None)


def test_the_setting_goes_first_and_nothing_is_nothing() -> None:
    assert proxies.proxy_for("http://localhost", "http://own:1", ENVIRONMENT) == "http://own:1"
    assert proxies.proxy_for("https://k8s.example.org", None, {}) is None
    assert proxies.proxy_for("https://k8s.example.org", None, {"https_proxy": "proxy:3128"}) == "http://proxy:3128"
    assert proxies.proxy_for("https://k8s", None, {"https_proxy": "proxy:3128", "no_proxy": "*"}) is None


def test_a_login_is_parted_from_the_address() -> None:
    address, headers = proxies.split("http://ada:s%3Acret@proxy:3128")
    assert address == "http://proxy:3128"
    assert headers == {"proxy-authorization": "Basic YWRhOnM6Y3JldA=="}
    assert proxies.split("http://proxy:3128") == ("http://proxy:3128", {})
