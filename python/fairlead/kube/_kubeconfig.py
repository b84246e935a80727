"""Kubeconfig files: reading, merging, and the choice of a context.

Laws (those of client-go's loading rules):
1. An explicit file stands alone and must exist. Else the files of `KUBECONFIG`, in order; empty entries and
   missing files are passed over; else `~/.kube/config`.
2. Merging: the first file that names a cluster, user, context or the current context wins.
3. Relative paths are relative to the folder of the file that holds them.
4. Inline data goes before a file.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from fairlead.kube._errors import CredentialsError
from fairlead.kube._exec import ExecConfig

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # pragma: no cover - PyYAML built without libyaml
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

SIZE_LIMIT = 16 * 1024 * 1024
"""Bytes."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A part of the file; the field names are kebab-case, except in `exec`."""


class Extension(_Part, frozen=True, kw_only=True):
    name: str
    extension: Any = None


class Cluster(_Part, frozen=True, kw_only=True, rename="kebab"):
    server: str = ""
    tls_server_name: str | None = None
    insecure_skip_tls_verify: bool = False
    certificate_authority: str | None = None
    certificate_authority_data: bytes | None = None
    proxy_url: str | None = None
    extensions: tuple[Extension, ...] | None = None


class KubeUser(_Part, frozen=True, kw_only=True, rename="kebab"):
    client_certificate: str | None = None
    client_certificate_data: bytes | None = None
    client_key: str | None = None
    client_key_data: bytes | None = None
    token: str | None = None
    token_file: str | None = msgspec.field(default=None, name="tokenFile")
    username: str | None = None
    password: str | None = None
    exec: ExecConfig | None = None
    auth_provider: Any = None
    as_: str | None = msgspec.field(default=None, name="as")
    as_uid: str | None = None
    as_groups: tuple[str, ...] | None = None
    as_user_extra: dict[str, tuple[str, ...]] | None = None

    def __repr__(self) -> str:
        return "KubeUser(...)"


class Context(_Part, frozen=True, kw_only=True):
    cluster: str = ""
    user: str = ""
    namespace: str | None = None


class _NamedCluster(_Part, frozen=True, kw_only=True):
    name: str
    cluster: Cluster


class _NamedUser(_Part, frozen=True, kw_only=True):
    name: str
    user: KubeUser


class _NamedContext(_Part, frozen=True, kw_only=True):
    name: str
    context: Context


class _File(_Part, frozen=True, kw_only=True, rename="kebab"):
    current_context: str | None = None
    clusters: tuple[_NamedCluster, ...] | None = None
    users: tuple[_NamedUser, ...] | None = None
    contexts: tuple[_NamedContext, ...] | None = None


class Chosen(msgspec.Struct, frozen=True):
    """One context with all that it names, and the folders that relative paths start from."""

    context: str
    namespace: str | None
    cluster: Cluster
    cluster_folder: Path
    user: KubeUser
    user_folder: Path
    files: tuple[Path, ...]


def kubeconfig_paths(explicit: str | None, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The files to read, by law 1; without `explicit` only those that exist."""
    if explicit is not None:
        return (Path(explicit),)
    listed = environ.get("KUBECONFIG", "")
    if listed:
        candidates = [Path(entry) for entry in listed.split(":") if entry]
    else:
        home = environ.get("HOME", "")
        candidates = [Path(home) / ".kube" / "config"] if home else []
    return tuple(path for path in candidates if path.exists())


def choose(paths: tuple[Path, ...], context: str | None = None) -> Chosen:
    """Reads and merges `paths` and takes `context`, or the current one.

    Raises:
        CredentialsError: a file cannot be read, or the context or what it names is missing.
    """
    files = [(path, _read(path)) for path in paths]
    shown = ", ".join(str(path) for path in paths)
    name = context or next((file.current_context for _, file in files if file.current_context), None)
    contexts = _first(
        (entry.name, entry.context, path) for path, file in files for entry in file.contexts or ()
    )
    if name is None:
        raise CredentialsError(
            f"no current context in {shown}",
            code="ContextNotFound",
            hint=f"choose one with --context: {', '.join(contexts) or 'there is none'}",
        )
    if name not in contexts:
        raise CredentialsError(
            f"no context {name} in {shown}",
            code="ContextNotFound",
            hint=f"there are: {', '.join(contexts) or 'none'}",
        )
    chosen, _ = contexts[name]
    clusters = _first(
        (entry.name, entry.cluster, path) for path, file in files for entry in file.clusters or ()
    )
    users = _first((entry.name, entry.user, path) for path, file in files for entry in file.users or ())
    cluster, cluster_path = _named(clusters, chosen.cluster, f"context {name} names the cluster", shown)
    user, user_path = (
        _named(users, chosen.user, f"context {name} names the user", shown)
        if chosen.user
        else (KubeUser(), paths[0])
    )
    return Chosen(
        name,
        chosen.namespace,
        cluster,
        cluster_path.absolute().parent,
        user,
        user_path.absolute().parent,
        paths,
    )


P = TypeVar("P")


def _first(entries: Any) -> dict[str, tuple[Any, Path]]:
    found: dict[str, tuple[Any, Path]] = {}
    for name, part, path in entries:
        found.setdefault(name, (part, path))
    return found


def _named(parts: dict[str, tuple[P, Path]], name: str, says: str, shown: str) -> tuple[P, Path]:
    if name in parts:
        return parts[name]
    raise CredentialsError(
        f"{says} {name or '(empty)'}, which is not in {shown}",
        code="KubeconfigInvalid",
        hint=f"there are: {', '.join(parts) or 'none'}",
    )


def _read(path: Path) -> _File:
    try:
        with path.open("rb") as file:
            text = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise CredentialsError(
            f"the kubeconfig {path} cannot be read: {error.strerror}",
            code="KubeconfigNotFound" if isinstance(error, FileNotFoundError) else "KubeconfigInvalid",
            hint="check --kubeconfig and KUBECONFIG",
        ) from error
    if len(text) > SIZE_LIMIT:
        raise CredentialsError(
            f"the kubeconfig {path} is larger than {SIZE_LIMIT} bytes", code="KubeconfigInvalid"
        )
    try:
        # The loader is a safe one: it makes plain values only.
        content = yaml.load(text, Loader=_Loader)
        return msgspec.convert(content or {}, _File)
    except (yaml.YAMLError, msgspec.MsgspecError, RecursionError, ValueError) as error:
        problem = getattr(error, "problem", None) or (
            str(error) if isinstance(error, msgspec.MsgspecError) else "no valid YAML"
        )
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise CredentialsError(
            f"the kubeconfig {path}{line} cannot be used: {problem}", code="KubeconfigInvalid"
        ) from error
