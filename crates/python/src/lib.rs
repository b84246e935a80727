//! `fairlead._core`: the only crate that knows Python.
