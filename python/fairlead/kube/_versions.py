"""Resource versions: which of two is newer (KEP-5504, stable since Kubernetes 1.35).

They are decimal numbers that grow within one collection. Servers that use others are supported as the API
always asked: such versions are opaque, and only equality means something.
"""


def compare_versions(left: str, right: str) -> int | None:
    """-1, 0 or 1 as `left` is older than, the same as or newer than `right`; None where nobody can say."""
    if left == right:
        return 0
    if _is_number(left) and _is_number(right):
        a, b = int(left), int(right)
        return (a > b) - (a < b)
    return None


def is_unset(version: str) -> bool:
    """Whether a version names no point in history: empty (the newest) or `0` (any)."""
    return version in {"", "0"}


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdigit() and len(version) <= 40
