# The Rust core. Meaning, ranges and errors stand at the functions in crates/python/src/lib.rs.

__version__: str

# Runs until a signal ends it. 0: stopped as told; 1: could not start; 70: a thread panicked.
def run_proxy(config: bytes) -> int: ...

# Why a proxy would refuse the encoded resource of a `fairlead.snapshot.Kind`: a stable code and a sentence.
def validate_resource(kind: str, body: bytes) -> tuple[str, str] | None: ...
