"""Matches of an HTTPRoute's rule, checked and brought into one form.

Laws:
1. A match that cannot be evaluated exactly as written is refused, never approximated: a wider match would
   take requests that are another Route's.
2. The same checks hold without a cluster: what the CRD's CEL rules refuse is refused here.
3. Of several header (or query) predicates with equivalent names the first one counts.
"""

import re

from fairlead import snapshot
from fairlead.resources import HeaderMatch, HTTPPathMatch, HTTPRouteMatch, QueryParamMatch

METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"),
)
_PATH = re.compile(r"[-A-Za-z0-9/._~!$&'()*+,;=:@]*(?:%[0-9a-fA-F]{2}[-A-Za-z0-9/._~!$&'()*+,;=:@]*)*")
_FORBIDDEN = ("//", "/./", "/../", "%2f", "%2F", "#")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256}")
_MAX_VALUE = 4096
_DEFAULT = snapshot.RouteMatch()


class UnsupportedError(Exception):
    """Something in a rule that is not supported or not valid; the message is for the user."""


def translate_matches(
    matches: tuple[HTTPRouteMatch, ...] | None,
) -> tuple[tuple[snapshot.RouteMatch, ...], tuple[str, ...]]:
    """The matches that can be evaluated, and why the others cannot. None at all match everything."""
    if not matches:
        return (_DEFAULT,), ()
    good: list[snapshot.RouteMatch] = []
    faults: list[str] = []
    for match in matches:
        try:
            good.append(_match(match))
        except UnsupportedError as error:
            faults.append(str(error))
    return tuple(dict.fromkeys(good)), tuple(faults)


def _match(match: HTTPRouteMatch) -> snapshot.RouteMatch:
    if match.method is not None and match.method not in METHODS:
        raise UnsupportedError(f"method {match.method!r} is not supported")
    return snapshot.RouteMatch(
        path=_path(match.path),
        method=match.method,
        headers=_fields("header", match.headers, fold_case=True),
        query=_fields("query parameter", match.query_params, fold_case=False),
    )


def _path(path: HTTPPathMatch | None) -> snapshot.PathMatch:
    if path is None:
        return _DEFAULT.path
    value = "/" if path.value is None else path.value
    kind = path.type or "PathPrefix"
    if kind not in ("Exact", "PathPrefix"):
        raise UnsupportedError(f"path match type {kind!r} is not supported: use Exact or PathPrefix")
    if (
        not value.startswith("/")
        or len(value) > 1024
        or _PATH.fullmatch(value) is None
        or any(part in value for part in _FORBIDDEN)
        or value.endswith(("/..", "/."))
    ):
        raise UnsupportedError(f"{value!r} is not a path in its normal form")
    if kind == "Exact":
        return snapshot.PathMatch(type=snapshot.PathMatchType.EXACT, value=value)
    # A trailing slash of a prefix is ignored: `/a/` and `/a` match the same requests.
    return snapshot.PathMatch(type=snapshot.PathMatchType.PREFIX, value=value.rstrip("/") or "/")


def _fields(
    what: str, items: tuple[HeaderMatch, ...] | tuple[QueryParamMatch, ...] | None, *, fold_case: bool
) -> tuple[snapshot.FieldMatch, ...]:
    if not items:
        return ()
    found: dict[str, snapshot.FieldMatch] = {}
    for item in items:
        if (item.type or "Exact") != "Exact":
            raise UnsupportedError(f"{what} match type {item.type!r} is not supported: use Exact")
        if _NAME.fullmatch(item.name) is None:
            raise UnsupportedError(f"{item.name!r} is not the name of a {what}")
        if not item.value or len(item.value) > _MAX_VALUE:
            raise UnsupportedError(f"{what} {item.name}: the value has 1 to {_MAX_VALUE} characters")
        name = item.name.lower() if fold_case else item.name
        found.setdefault(name, snapshot.FieldMatch(name=name, value=item.value))
    return tuple(found.values())
