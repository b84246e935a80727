"""Who we are for the API server: what goes into each request, and how it is renewed.

Laws:
1. Of several ways to authenticate a user's token goes first (from a file, then inline), then user name and
   password, then the plugin's token; client certificates go along, the user's own before the plugin's.
2. A refused identity (401) is renewed at once, and the request repeated only if that gave another one.
3. No secret appears in an error or in a `repr`.
"""

import base64
from typing import Protocol

import msgspec

from fairlead.kube._errors import CredentialsError
from fairlead.kube._files import Content


class ClientCertificate(msgspec.Struct, frozen=True):
    """A certificate chain and its private key, PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "ClientCertificate(...)"


class Identity(msgspec.Struct, frozen=True):
    """What authenticates a request."""

    headers: tuple[tuple[str, str], ...] = ()
    certificate: ClientCertificate | None = None

    def __repr__(self) -> str:
        return f"Identity(headers={[name for name, _ in self.headers]}, certificate={self.certificate!r})"


class PluginIdentity(msgspec.Struct, frozen=True):
    """What an exec plugin gave."""

    token: str | None
    certificate: ClientCertificate | None

    def __repr__(self) -> str:
        return "PluginIdentity(...)"


class Plugin(Protocol):
    """An exec plugin."""

    async def get(self) -> PluginIdentity:
        """What it gave last, or gives now if that has expired."""
        ...

    async def renew(self, refused: PluginIdentity) -> None:
        """Runs it again unless what it gave last is no longer `refused`."""
        ...


class User:
    """All the ways that one kubeconfig user, or a Pod's service account, has to authenticate."""

    def __init__(
        self,
        *,
        token: Content | None = None,
        password: tuple[str, str] | None = None,
        certificate: tuple[Content, Content] | None = None,
        plugin: Plugin | None = None,
        extra_headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """`certificate` is the chain and its key; `extra_headers` carry impersonation."""
        self._token = token
        self._password = password
        self._certificate = certificate
        self._plugin = plugin
        self._extra_headers = extra_headers
        self._plugin_gave: PluginIdentity | None = None

    async def identity(self) -> Identity:
        """What authenticates a request made now.

        Raises:
            CredentialsError: a file cannot be read or the plugin failed.
        """
        authorization = self._own_authorization()
        certificate = None
        if self._certificate is not None:
            chain, key = self._certificate
            certificate = ClientCertificate(chain.read(), key.read())
        if self._plugin is not None:
            gave = self._plugin_gave = await self._plugin.get()
            if authorization is None and gave.token:
                authorization = _bearer(gave.token)
            certificate = certificate or gave.certificate
        headers = self._extra_headers
        if authorization is not None:
            headers = (("Authorization", authorization), *headers)
        return Identity(headers, certificate)

    async def renew(self, refused: Identity) -> bool:
        """After a 401: gets a fresh identity; whether it is another one, so that a repeat may help."""
        for content in (self._token, *(self._certificate or ())):
            if content is not None:
                content.forget()
        if self._plugin is not None and self._plugin_gave is not None:
            await self._plugin.renew(self._plugin_gave)
        return await self.identity() != refused

    def _own_authorization(self) -> str | None:
        if self._token is not None:
            return _bearer(self._token.read().decode("latin-1"))
        if self._password is not None:
            return "Basic " + base64.b64encode(":".join(self._password).encode()).decode()
        return None


def _bearer(token: str) -> str:
    token = token.strip()
    if not token.isprintable() or " " in token:
        raise CredentialsError("the bearer token holds characters that no token has")
    return f"Bearer {token}"
