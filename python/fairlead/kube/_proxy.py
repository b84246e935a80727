"""Which proxy leads to the API server: `proxy-url` of the kubeconfig, else the environment's.

The environment is read as client-go (Go's net/http) does: HTTPS_PROXY, HTTP_PROXY and NO_PROXY in either case;
loopback is never proxied; NO_PROXY holds `*`, hosts, domains, addresses and CIDRs, each with an optional port.
"""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from fairlead.kube._errors import CredentialsError


def checked_proxy(url: str, *, where: str) -> str:
    """`url` if it can be used.

    Raises:
        CredentialsError: no http or https proxy.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CredentialsError(
            f"the proxy of {where} is not supported",
            code="ProxyUnsupported",
            hint="use a proxy with an http:// or https:// address; for a SOCKS proxy run a forwarder",
        )
    return parts.geturl()


def proxy_from_environment(server: str, environ: Mapping[str, str]) -> str | None:
    """The proxy for `server`, or None to connect directly."""
    parts = urlsplit(server)
    host = parts.hostname or ""
    name = f"{parts.scheme}_proxy"
    proxy = environ.get(name.upper()) or environ.get(name)
    if not proxy or _is_loopback(host):
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    excluded = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if any(_excludes(entry.strip().lower(), host.lower(), port) for entry in excluded.split(",")):
        return None
    return checked_proxy(proxy, where=f"the environment variable {name.upper()}")


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _excludes(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    if not entry:
        return False
    address = _address(host)
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    if (bare := _address(entry.strip("[]"))) is not None:
        return address == bare
    name, colon, wanted = entry.rpartition(":")
    if colon and wanted.isdigit():
        if int(wanted) != port:
            return False
        entry = name.strip("[]")
    if (bare := _address(entry)) is not None:
        return address == bare
    domain = entry.removeprefix("*")
    return host.endswith(domain) if domain.startswith(".") else host == domain or host.endswith(f".{domain}")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
