"""The Rust core."""

__version__: str

def run_proxy(config: bytes) -> int:
    """Run the proxy on threads of its own until a signal ends it; give the exit code.

    `config` is a JSON document with the fields of `ProxyConfig` in `crates/proxy/src/config.rs`.
    0: stopped as told; 1: could not start; 70: a thread panicked.
    """

def validate_resource(kind: str, body: bytes) -> tuple[str, str] | None:
    """Why a proxy would refuse the resource encoded in `body`: a stable code and a sentence, or None.

    The proxy runs the same code, so all replicas reach the same verdict. `kind` is a `fairlead.snapshot.Kind`.
    """
