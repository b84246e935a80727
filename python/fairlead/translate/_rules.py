"""Rules of an HTTPRoute: matches, targets, timeouts.

Laws:
1. A rule that is not valid, or asks for what is not supported yet, answers 500 to the requests that it can
   still be matched to, and says why; it never falls through to another rule.
2. A backendRef that cannot be used keeps its weight and answers 500 for it.
"""

from collections.abc import Callable

import msgspec

from fairlead import snapshot
from fairlead.resources import BackendRef, HTTPRouteRule, HTTPRouteTimeouts
from fairlead.translate._durations import parse_duration_ms
from fairlead.translate._graph import BackendId
from fairlead.translate._matches import UnsupportedError, translate_matches

MAX_WEIGHT = 1_000_000


class Fault(msgspec.Struct, frozen=True, gc=False):
    """Why a backendRef cannot be used."""

    error: snapshot.TargetError
    message: str


Resolve = Callable[[BackendRef], BackendId | Fault]

_ANSWER_500 = (snapshot.Target(weight=1, error=snapshot.TargetError.UNSUPPORTED_VALUE),)


class RuleResult(msgspec.Struct, frozen=True, gc=False):
    """What became of a rule."""

    rule: snapshot.Rule | None
    """None where no match of it can be evaluated."""
    faults: tuple[str, ...] = ()
    """Why the rule is not valid."""
    ref_faults: tuple[Fault, ...] = ()
    backends: tuple[BackendId, ...] = ()


def translate_rule(rule: HTTPRouteRule, resolve: Resolve) -> RuleResult:
    """Translates one rule; `resolve` finds what a backendRef names."""
    matches, found = translate_matches(rule.matches)
    faults = [*found, *_unsupported(rule)]
    timeouts: snapshot.Timeouts | None = None
    try:
        timeouts = _timeouts(rule.timeouts)
        _check_weights(rule.backend_refs or ())
    except UnsupportedError as error:
        faults.append(str(error))
    targets: list[snapshot.Target] = []
    ref_faults: list[Fault] = []
    backends: list[BackendId] = []
    for ref in rule.backend_refs or ():
        weight = 1 if ref.weight is None else ref.weight
        resolved = resolve(ref)
        if isinstance(resolved, Fault):
            ref_faults.append(resolved)
            targets.append(snapshot.Target(weight=weight, error=resolved.error))
        else:
            backends.append(resolved)
            targets.append(snapshot.Target(weight=weight, backend=backend_name(resolved)))
    if faults:
        broken = snapshot.Rule(name=rule.name, matches=matches, targets=_ANSWER_500) if matches else None
        return RuleResult(broken, tuple(faults), tuple(ref_faults))
    made = snapshot.Rule(name=rule.name, matches=matches, targets=tuple(targets), timeouts=timeouts)
    return RuleResult(made, (), tuple(ref_faults), tuple(backends))


def backend_name(backend: BackendId) -> str:
    """The name of a Backend's resources."""
    return snapshot.backend_key(backend.service.namespace, backend.service.name, backend.port)


def _unsupported(rule: HTTPRouteRule) -> list[str]:
    faults = [f"filter {item.type} is not supported yet" for item in rule.filters or ()]
    faults.extend(
        f"backendRef {ref.name}: filter {item.type} is not supported yet"
        for ref in rule.backend_refs or ()
        for item in ref.filters or ()
    )
    if rule.retry is not None:
        faults.append("retry is not supported yet")
    if rule.session_persistence is not None:
        faults.append("sessionPersistence is not supported yet")
    return faults


def _timeouts(timeouts: HTTPRouteTimeouts | None) -> snapshot.Timeouts | None:
    if timeouts is None:
        return None
    request = _duration("request", timeouts.request)
    backend_request = _duration("backendRequest", timeouts.backend_request)
    if request and backend_request is not None and (backend_request > request):
        raise UnsupportedError("timeouts.backendRequest is longer than timeouts.request")
    if request is None and backend_request is None:
        return None
    return snapshot.Timeouts(request_ms=request, backend_request_ms=backend_request)


def _duration(field: str, text: str | None) -> int | None:
    if text is None:
        return None
    milliseconds = parse_duration_ms(text)
    if milliseconds is None:
        raise UnsupportedError(f"timeouts.{field}: {text!r} is not a duration, such as 10s or 1m30s")
    return milliseconds


def _check_weights(refs: tuple[BackendRef, ...]) -> None:
    for ref in refs:
        if ref.weight is not None and not 0 <= ref.weight <= MAX_WEIGHT:
            raise UnsupportedError(f"backendRef {ref.name}: the weight is 0 to {MAX_WEIGHT}")
