"""What of the Gateway API is supported: its features, and the versions of its CRDs.

Laws:
1. A feature is named only if tests of our own cover what its conformance tests ask for. So the core features are not
   named yet: Gateway and ReferenceGrant need HTTPS listeners, HTTPRoute needs filters besides.
2. A version that we do not know is served as well as may be: the class stays accepted and SupportedVersion says so.
"""

import re
from collections.abc import Mapping

import msgspec

from fairlead.translate._conditions import Conditions
from fairlead.translate._statuses import ConditionType, Reason, StatusCondition

FEATURES = (
    "GatewayAddressEmpty",
    "GatewayHTTPListenerIsolation",
    "GatewayPort8080",
    "GatewayStaticAddresses",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendTimeout",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestTimeout",
)
"""Names of `pkg/features`, sorted as `status.supportedFeatures` must be."""

NEWEST = (1, 6)
"""The newest bundle that we know; all that we read is in each since v1.0."""

_BUNDLE = re.compile(r"v(\d+)\.(\d+)\.\d+")


class GatewayAPI(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the Gateway API's CRDs."""

    bundles: Mapping[str, str] = {}
    """CRD to its `gateway.networking.k8s.io/bundle-version`; empty where it has none."""
    problem: str = ""
    """Why they cannot be read."""


def version_condition(make: Conditions, known: GatewayAPI) -> StatusCondition:
    """SupportedVersion of a GatewayClass."""
    if known.problem or not known.bundles:
        message = known.problem or "the versions of the CRDs have not been read yet"
        return make.unknown(ConditionType.SUPPORTED_VERSION, Reason.PENDING, message)
    strange = sorted(name for name, version in known.bundles.items() if not is_known(version))
    if strange:
        told = ", ".join(f"{name} {known.bundles[name] or 'without a version'}" for name in strange)
        message = f"v1.0 to v{NEWEST[0]}.{NEWEST[1]} are known, others are served as well as may be: {told}"
        return make.false(ConditionType.SUPPORTED_VERSION, Reason.UNSUPPORTED_VERSION, message)
    return make.true(ConditionType.SUPPORTED_VERSION, Reason.SUPPORTED_VERSION)


def is_known(bundle: str) -> bool:
    """Whether a bundle's version is a release that we know."""
    found = _BUNDLE.fullmatch(bundle)
    return found is not None and (1, 0) <= (int(found[1]), int(found[2])) <= NEWEST
