//! `fairlead._core`: the only crate that knows Python.
//!
//! Laws:
//! 1. Thin: arguments are copied out of Python, the interpreter is left, and the work happens behind the border.
//! 2. No thread of the proxy ever takes the interpreter's lock.
//! 3. No panic crosses the border.

use std::panic::catch_unwind;

use pyo3::prelude::*;

/// The exit code of a run that panicked outside of its threads.
const EXIT_PANIC: i32 = 70;
/// The exit code of a run that could not start.
const EXIT_START: i32 = 1;

/// The binding.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::{run_proxy, validate_resource};

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "the name is Python's")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}

/// Runs the proxy until a signal ends it; gives the exit code.
#[pyfunction]
fn run_proxy(py: Python<'_>, config: &[u8]) -> i32 {
    py.detach(|| {
        fairlead_proxy::say_panics();
        let run = || match fairlead_proxy::ProxyConfig::from_json(config) {
            Ok(config) => fairlead_proxy::run(config),
            Err(error) => {
                eprintln!("fairlead: {error}");
                EXIT_START
            }
        };
        catch_unwind(run).unwrap_or(EXIT_PANIC)
    })
}

/// Why a proxy would refuse the resource: a stable code and a sentence, or None.
#[pyfunction]
fn validate_resource(py: Python<'_>, kind: &str, body: &[u8]) -> Option<(String, String)> {
    py.detach(|| {
        let validate = || fairlead_proxy::validate(kind, body);
        match catch_unwind(validate) {
            Ok(Ok(())) => None,
            Ok(Err(refusal)) => Some((refusal.reason.as_str().to_owned(), refusal.message)),
            Err(_) => Some(("Malformed".to_owned(), "validation panicked".to_owned())),
        }
    })
}
