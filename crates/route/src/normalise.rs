//! The normal form of paths.

/// Why a path is refused (400).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// Does not start with a slash.
    NotAbsolute,
    /// A control character, blank, `?` or `#`.
    InvalidByte,
    /// A `%` without two hexadecimal digits.
    InvalidEscape,
    /// `%2F`.
    EncodedSlash,
    /// `%00`.
    Nul,
    /// A backslash, encoded or not.
    Backslash,
    /// `..` above the root.
    AboveRoot,
    /// A dot segment with a parameter (`/..;a/`), which some servers take for a plain one.
    DotParameter,
}

impl PathError {
    /// A stable reason code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAbsolute => "path_not_absolute",
            Self::InvalidByte => "path_invalid_byte",
            Self::InvalidEscape => "path_invalid_escape",
            Self::EncodedSlash => "path_encoded_slash",
            Self::Nul => "path_nul",
            Self::Backslash => "path_backslash",
            Self::AboveRoot => "path_above_root",
            Self::DotParameter => "path_dot_parameter",
        }
    }
}

/// Where the normal form is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalised {
    /// The path was in normal form; nothing was copied.
    Unchanged,
    /// In `out`, which was cleared first.
    Rewritten,
}

/// Brings a path (without query) into normal form.
pub fn normalise_path(_path: &[u8], _out: &mut Vec<u8>) -> Result<Normalised, PathError> {
    todo!()
}
