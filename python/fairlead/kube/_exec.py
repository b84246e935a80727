"""Exec credential plugins: `client.authentication.k8s.io/v1` and `v1beta1`.

Laws:
1. One run at a time; what it gave is used until it expires by the wall clock or is refused with 401.
2. A failed run is not repeated within `FAILURE_PAUSE`, whoever asks: a broken plugin is no fork bomb.
3. Output that is not exactly an ExecCredential of the version asked for, with a token or a certificate and its
   key, is an error that names the plugin and never shows its output.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from fairlead.base import UNDECODABLE, Clock, SystemClock
from fairlead.kube._errors import CredentialsError
from fairlead.kube._identity import ClientCertificate, PluginIdentity

GROUP = "client.authentication.k8s.io"
VERSIONS = (f"{GROUP}/v1", f"{GROUP}/v1beta1")
FAILURE_PAUSE = 5.0
TIMEOUT = 60.0
"""Seconds for a run that cannot ask a user anything."""
OUTPUT_LIMIT = 1024 * 1024
"""Bytes."""


class ExecEnv(msgspec.Struct, frozen=True):
    name: str
    value: str


class ExecConfig(msgspec.Struct, frozen=True, rename="camel"):
    """`users[].user.exec` of a kubeconfig."""

    command: str
    api_version: str = ""
    args: tuple[str, ...] | None = None
    env: tuple[ExecEnv, ...] | None = None
    install_hint: str | None = None
    provide_cluster_info: bool = False
    interactive_mode: str | None = None
    """Never, IfAvailable or Always; required by v1."""


class ExecCluster(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True):
    """What a plugin is told of the cluster, if it asks (`provideClusterInfo`)."""

    server: str
    tls_server_name: str | None = None
    insecure_skip_tls_verify: bool = False
    certificate_authority_data: bytes | None = None
    proxy_url: str | None = None
    config: Any = None
    """The cluster's extension `client.authentication.k8s.io/exec`, passed on as it stands."""


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    interactive: bool
    cluster: ExecCluster | msgspec.UnsetType = msgspec.UNSET


class _Request(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str
    spec: _Spec


class _Answered(msgspec.Struct, frozen=True, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: str | None = None


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str = ""
    kind: str = ""
    status: _Answered | None = None


class ExecPlugin:
    """Runs a plugin when needed and keeps what it gave."""

    def __init__(
        self,
        config: ExecConfig,
        *,
        cluster: ExecCluster,
        directory: Path,
        environ: Mapping[str, str],
        clock: Clock | None = None,
        is_terminal: Callable[[], bool] | None = None,
    ) -> None:
        """`directory` is the kubeconfig's: a command with a slash in it is relative to it.

        Raises:
            CredentialsError: the configuration asks for something that is not supported.
        """
        self._config = config
        self._cluster = cluster
        self._environ = environ
        self._clock = clock or SystemClock()
        self._is_terminal = is_terminal or (lambda: sys.stdin is not None and sys.stdin.isatty())
        self._command = str(directory / config.command) if "/" in config.command else config.command
        self._lock = asyncio.Lock()
        self._gave: PluginIdentity | None = None
        self._expires: float | None = None
        self._failed: tuple[float, CredentialsError] | None = None
        _check(config)

    async def get(self) -> PluginIdentity:
        """See `Plugin`."""
        async with self._lock:
            expired = self._expires is not None and self._clock.wall() >= self._expires
            if self._gave is None or expired:
                await self._run_guarded()
            assert self._gave is not None  # noqa: S101 - `_run_guarded` sets it or raises
            return self._gave

    async def renew(self, refused: PluginIdentity) -> None:
        """See `Plugin`."""
        async with self._lock:
            if self._gave is refused:
                await self._run_guarded()

    async def _run_guarded(self) -> None:
        now = self._clock.monotonic()
        if self._failed is not None and now - self._failed[0] < FAILURE_PAUSE:
            raise self._failed[1]
        try:
            self._gave, self._expires = self._read(await self._run())
        except CredentialsError as error:
            self._failed = (now, error)
            raise
        self._failed = None

    async def _run(self) -> bytes:
        config = self._config
        mode = config.interactive_mode or "IfAvailable"
        interactive = mode != "Never" and self._is_terminal()
        if mode == "Always" and not interactive:
            raise self._error("needs a terminal (interactiveMode: Always), and there is none")
        spec = _Spec(interactive, self._cluster if config.provide_cluster_info else msgspec.UNSET)
        request = msgspec.json.encode(_Request(config.api_version, "ExecCredential", spec)).decode()
        environ = {**self._environ, **{env.name: env.value for env in config.env or ()}}
        environ["KUBERNETES_EXEC_INFO"] = request
        try:
            process = await asyncio.create_subprocess_exec(
                self._command,
                *(config.args or ()),
                env=environ,
                stdin=None if interactive else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=None if interactive else asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise self._error(
                f"cannot be started: {os.strerror(error.errno or 0)}",
                code="ExecPluginNotFound",
                hint=config.install_hint or "install it, or put its folder into PATH",
            ) from error
        try:
            async with asyncio.timeout(None if interactive else TIMEOUT):
                output, complaint = await process.communicate()
        except TimeoutError as error:
            raise self._error(f"did not end within {TIMEOUT:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            tail = (complaint or b"")[-500:].decode("utf-8", "replace").strip()
            raise self._error(f"ended with exit code {process.returncode}{': ' + tail if tail else ''}")
        return output

    def _read(self, output: bytes) -> tuple[PluginIdentity, float | None]:
        if len(output) > OUTPUT_LIMIT:
            raise self._error(f"gave more than {OUTPUT_LIMIT} bytes")
        try:
            answer = msgspec.json.decode(output, type=_Answer)
        except UNDECODABLE as error:
            raise self._error("gave something that is no ExecCredential") from error
        if answer.kind != "ExecCredential" or answer.api_version != self._config.api_version:
            raise self._error(
                f"gave {answer.api_version or 'no version'} {answer.kind or 'of no kind'}, "
                f"not the ExecCredential of {self._config.api_version} that it was asked for"
            )
        status = answer.status or _Answered()
        certificate = None
        if bool(status.client_certificate_data) != bool(status.client_key_data):
            raise self._error("gave a client certificate without its key, or a key without its certificate")
        if status.client_certificate_data and status.client_key_data:
            certificate = ClientCertificate(
                status.client_certificate_data.encode(), status.client_key_data.encode()
            )
        if not status.token and certificate is None:
            raise self._error("gave neither a token nor a client certificate")
        expires = None
        if status.expiration_timestamp:
            try:
                expires = datetime.fromisoformat(status.expiration_timestamp).timestamp()
            except ValueError as error:
                raise self._error("gave an expirationTimestamp that is no RFC 3339 time") from error
        return PluginIdentity(status.token or None, certificate), expires

    def _error(
        self, problem: str, *, code: str = "ExecPluginFailed", hint: str | None = None
    ) -> CredentialsError:
        return CredentialsError(
            f"the credential plugin {self._config.command} {problem}", code=code, hint=hint
        )


def _check(config: ExecConfig) -> None:
    if config.api_version not in VERSIONS:
        raise CredentialsError(
            f"the credential plugin {config.command} speaks {config.api_version or 'an unnamed version'}",
            code="ExecVersionUnsupported",
            hint=f"supported are {' and '.join(VERSIONS)}: update the plugin and its kubeconfig entry",
        )
    if config.interactive_mode is None and config.api_version == VERSIONS[0]:
        raise CredentialsError(
            f"interactiveMode is missing for the credential plugin {config.command}",
            code="KubeconfigInvalid",
            hint="set it to Never, IfAvailable or Always: v1 requires it",
        )
    if config.interactive_mode not in {None, "Never", "IfAvailable", "Always"}:
        raise CredentialsError(
            f"interactiveMode {config.interactive_mode} of the credential plugin {config.command} is unknown",
            code="KubeconfigInvalid",
            hint="set it to Never, IfAvailable or Always",
        )
