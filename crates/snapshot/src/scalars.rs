//! Closed sets of values, and how numbers out of range are read.
//!
//! Law: a value outside of its set is an error whose text starts with [`UNSUPPORTED`], so that the decoder can
//! tell it from bytes that are malformed.

use serde::{Deserialize, Deserializer};

/// How the error of an unknown value starts.
pub(crate) const UNSUPPORTED: &str = "unsupported value";

macro_rules! closed_set {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_meta])* $variant),+
        }

        impl $name {
            /// The value as it travels.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }

            /// The value that travels as `text`.
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| {
                    serde::de::Error::custom(format_args!(
                        "{} {text:?} of {}", $crate::scalars::UNSUPPORTED, stringify!($name)
                    ))
                })
            }
        }
    };
}
pub(crate) use closed_set;

closed_set! {
    /// What a bind or a Backend speaks.
    Protocol {
        /// HTTP/1.1 in clear text.
        Http = "HTTP",
    }
}

closed_set! {
    /// How a path predicate compares.
    PathMatchType {
        /// The whole path.
        Exact = "Exact",
        /// Whole segments from the start.
        Prefix = "PathPrefix",
    }
}

closed_set! {
    /// How a header or query predicate compares.
    MatchType {
        /// The whole value.
        Exact = "Exact",
    }
}

closed_set! {
    /// Why a target cannot be used; its share of the requests is answered 500.
    TargetError {
        /// The Service, or its port, does not exist.
        BackendNotFound = "BackendNotFound",
        /// No `ReferenceGrant` allows the reference.
        RefNotPermitted = "RefNotPermitted",
        /// The reference names a kind that is not supported.
        InvalidKind = "InvalidKind",
        /// The Service's port speaks a protocol that is not supported.
        UnsupportedProtocol = "UnsupportedProtocol",
        /// The reference holds a value that is not supported.
        UnsupportedValue = "UnsupportedValue",
    }
}

closed_set! {
    /// How a Backend's endpoint is chosen.
    LoadBalancer {
        /// The lower of two peak-EWMA costs.
        PeakEwma = "PeakEWMA",
        /// Smooth weighted round robin.
        RoundRobin = "RoundRobin",
        /// By a key of the request, through a Maglev table.
        ConsistentHash = "ConsistentHash",
    }
}

closed_set! {
    /// What the key of a request is made of.
    HashKey {
        /// The client's address.
        SourceIp = "SourceIP",
        /// A header's value.
        Header = "Header",
    }
}

impl Protocol {
    pub(crate) fn http() -> Self {
        Self::Http
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(crate) fn is_http(&self) -> bool {
        *self == Self::Http
    }
}

/// A port; what is outside of 1 to 65535 becomes 0, which validation refuses by name.
pub(crate) fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    Ok(u16::try_from(i64::deserialize(deserializer)?).unwrap_or(0))
}

/// A weight; what does not fit becomes the maximum, which validation refuses by name.
pub(crate) fn weight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Ok(u32::try_from(i64::deserialize(deserializer)?).unwrap_or(u32::MAX))
}

/// A limit of a signed 32-bit field, or none; what does not fit becomes 0, which validation refuses by name.
pub(crate) fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let given = Option::<i64>::deserialize(deserializer)?;
    Ok(given.map(|limit| i32::try_from(limit).map_or(0, |limit| u32::try_from(limit).unwrap_or(0))))
}

/// A table's size; what does not fit becomes 0, which validation refuses by name.
pub(crate) fn table_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Ok(u32::try_from(i64::deserialize(deserializer)?).unwrap_or(0))
}

/// A number of repeats; what does not fit becomes the maximum, which validation refuses by name.
pub(crate) fn attempts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    Ok(u8::try_from(i64::deserialize(deserializer)?).unwrap_or(u8::MAX))
}
