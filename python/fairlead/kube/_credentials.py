"""Where the API server is, how to trust it, and who we are: from a kubeconfig or from inside a Pod.

Law: reading credentials touches files only; the network, and plugins, wait for the first request.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from fairlead.base import Clock, SystemClock
from fairlead.kube._errors import CredentialsError
from fairlead.kube._exec import GROUP, ExecCluster, ExecPlugin
from fairlead.kube._files import Content, Fixed, WatchedFile
from fairlead.kube._identity import User
from fairlead.kube._kubeconfig import Chosen, Cluster, KubeUser, choose, kubeconfig_paths
from fairlead.kube._proxy import checked_proxy, proxy_from_environment

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Trust(msgspec.Struct, frozen=True):
    """How the server's certificate is judged."""

    ca: Content | None
    """PEM; None: the system's certificate authorities."""
    insecure: bool
    server_name: str | None
    """The name to ask for (SNI) and to find in the certificate, instead of the server's host."""


class Credentials(msgspec.Struct, frozen=True):
    """All that a `Client` needs."""

    server: str
    """URL of the API server, perhaps with a path, without a slash at the end."""
    trust: Trust
    user: User
    proxy: str | None
    namespace: str
    """The context's, or the Pod's own; `default` where none is set."""
    origin: str
    """For people: where these credentials come from."""


def load_credentials(
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    environ: Mapping[str, str] | None = None,
    service_account: Path = SERVICE_ACCOUNT,
    clock: Clock | None = None,
) -> Credentials:
    """A kubeconfig if one is given or found, else those of the Pod that this runs in.

    Raises:
        CredentialsError: `CredentialsNotFound` where there are none at all, else what is wrong with them.
    """
    env = os.environ if environ is None else environ
    time = clock or SystemClock()
    paths = kubeconfig_paths(kubeconfig, env)
    if paths:
        return _from_kubeconfig(choose(paths, context), env, time)
    if context is None and env.get("KUBERNETES_SERVICE_HOST"):
        return _in_cluster(env, service_account, time)
    raise CredentialsError(
        "no kubeconfig was found and this is no Pod",
        code="CredentialsNotFound",
        hint="name one with --kubeconfig or KUBECONFIG, or give a directory of manifests to run without a cluster",
    )


def _in_cluster(environ: Mapping[str, str], folder: Path, clock: Clock) -> Credentials:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    token = WatchedFile(folder / "token", what="service-account token", clock=clock)
    token.read()
    ca = WatchedFile(folder / "ca.crt", what="cluster CA", clock=clock)
    ca.read()
    try:
        namespace = (folder / "namespace").read_text().strip()
    except OSError:
        namespace = ""
    return Credentials(
        server=server,
        trust=Trust(ca, insecure=False, server_name=None),
        user=User(token=token),
        proxy=proxy_from_environment(server, environ),
        namespace=namespace or "default",
        origin="the Pod's service account",
    )


def _from_kubeconfig(chosen: Chosen, environ: Mapping[str, str], clock: Clock) -> Credentials:
    cluster = chosen.cluster
    server = cluster.server.rstrip("/")
    parts = urlsplit(server)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CredentialsError(
            f"the server of context {chosen.context} is {server or 'not set'}",
            code="KubeconfigInvalid",
            hint="it has to be a URL with http:// or https://",
        )
    ca = _content(
        cluster.certificate_authority_data, cluster.certificate_authority, chosen.cluster_folder, "CA", clock
    )
    if cluster.insecure_skip_tls_verify and ca is not None:
        raise CredentialsError(
            f"the cluster of context {chosen.context} has a CA and insecure-skip-tls-verify",
            code="KubeconfigInvalid",
            hint="remove one of them",
        )
    proxy = (
        checked_proxy(cluster.proxy_url, where=f"context {chosen.context}")
        if cluster.proxy_url
        else proxy_from_environment(server, environ)
    )
    return Credentials(
        server=server,
        trust=Trust(ca, cluster.insecure_skip_tls_verify, cluster.tls_server_name or None),
        user=_user(chosen, ca, environ, clock),
        proxy=proxy,
        namespace=chosen.namespace or "default",
        origin=f"context {chosen.context} of {', '.join(str(path) for path in chosen.files)}",
    )


def _user(chosen: Chosen, ca: Content | None, environ: Mapping[str, str], clock: Clock) -> User:
    user, folder = chosen.user, chosen.user_folder
    if user.auth_provider is not None:
        raise CredentialsError(
            f"the user of context {chosen.context} has an auth-provider, which Kubernetes has given up",
            code="AuthProviderUnsupported",
            hint="use an exec plugin instead",
        )
    chain = _content(
        user.client_certificate_data, user.client_certificate, folder, "client certificate", clock
    )
    key = _content(user.client_key_data, user.client_key, folder, "client key", clock)
    if (chain is None) != (key is None):
        raise CredentialsError(
            f"the user of context {chosen.context} has a client certificate or a client key without the other",
            code="KubeconfigInvalid",
        )
    token: Content | None = None
    if user.token_file:
        token = WatchedFile(folder / user.token_file, what="token file", clock=clock)
    elif user.token:
        token = Fixed(user.token.encode())
    plugin = None
    if user.exec is not None:
        plugin = ExecPlugin(
            user.exec,
            cluster=_exec_cluster(chosen.cluster, ca),
            directory=folder,
            environ=environ,
            clock=clock,
        )
    return User(
        token=token,
        password=(user.username, user.password or "") if user.username else None,
        certificate=(chain, key) if chain is not None and key is not None else None,
        plugin=plugin,
        extra_headers=_impersonation(user),
    )


def _exec_cluster(cluster: Cluster, ca: Content | None) -> ExecCluster:
    config = next((e.extension for e in cluster.extensions or () if e.name == f"{GROUP}/exec"), None)
    return ExecCluster(
        server=cluster.server,
        tls_server_name=cluster.tls_server_name,
        insecure_skip_tls_verify=cluster.insecure_skip_tls_verify,
        certificate_authority_data=ca.read() if ca is not None else None,
        proxy_url=cluster.proxy_url,
        config=config,
    )


def _impersonation(user: KubeUser) -> tuple[tuple[str, str], ...]:
    headers = [("Impersonate-User", user.as_)] if user.as_ else []
    if user.as_uid:
        headers.append(("Impersonate-Uid", user.as_uid))
    headers += [("Impersonate-Group", group) for group in user.as_groups or ()]
    for key, values in (user.as_user_extra or {}).items():
        headers += [(f"Impersonate-Extra-{key}", value) for value in values]
    return tuple(headers)


def _content(data: bytes | None, path: str | None, folder: Path, what: str, clock: Clock) -> Content | None:
    if data:
        return Fixed(data)
    return WatchedFile(folder / path, what=what, clock=clock) if path else None
