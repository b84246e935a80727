//! The last good configuration on disk.
//!
//! The file is one line of JSON that describes the rest, and the rest: a `full` update as it would come from the
//! controller. So it is read, validated and applied by the code that reads the stream.
//!
//! Laws:
//! 1. One writer. A new version is written beside the file, synced and renamed over it: a reader sees the one or the
//!    other, never a part. Mode 0600: it may hold private keys.
//! 2. A file that is broken, or of another schema, is refused whole with its reason. It is never fatal.
//! 3. A file of another version of the program is used, but not trusted to hold what the controller sent: it may
//!    lack fields that this version knows. Then the proxy claims to have nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use fairlead_snapshot::{Position, SCHEMA, ToProxy, Update, Upsert, decode_to_proxy, encode_to_proxy};
use serde::{Deserialize, Serialize};

use super::held::Saved;

const MAGIC: &str = "fairlead-last-good";
const FORMAT: u32 = 1;
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// A header is far shorter; a file without a line end is not read to its end for one.
const MAX_HEADER: usize = 4096;
const FRAME_PREFIX: usize = 4;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    magic: String,
    format: u32,
    schema: u32,
    version: String,
    epoch: u64,
    generation: u64,
    written_ms: i64,
    bytes: usize,
    crc32: u32,
}

/// A file that was read.
#[derive(Debug)]
pub(crate) struct LastGood {
    payload: Vec<u8>,
    /// When it was written, in Unix milliseconds.
    pub(crate) written_ms: i64,
    /// Whether its versions may be told to the controller.
    pub(crate) trusted: bool,
}

impl LastGood {
    /// The configuration in it.
    pub(crate) fn update(&self) -> Result<Update<'_>, Refused> {
        match decode_to_proxy(&self.payload) {
            Ok(ToProxy::Update(update)) => Ok(update),
            Ok(ToProxy::Subscribe(_) | ToProxy::Stats(_)) => {
                Err(Refused::Broken("it holds no update".to_owned()))
            }
            Err(error) => Err(Refused::Broken(error.to_string())),
        }
    }
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// There is none.
    #[error("there is no file")]
    Absent,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// It is not what was written.
    #[error("it is broken: {0}")]
    Broken(String),
    /// It follows another contract.
    #[error("it has another schema: {0}")]
    ForeignSchema(String),
}

impl Refused {
    /// The code for metrics.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Unreadable(_) => "unreadable",
            Self::Broken(_) => "broken",
            Self::ForeignSchema(_) => "foreign_schema",
        }
    }
}

/// The file's bytes.
pub(crate) fn encode(position: Position, saved: &[Saved], written_ms: i64) -> Vec<u8> {
    let bodies: Vec<_> = saved.iter().map(|each| each.content.bytes()).collect();
    let upserts = saved.iter().zip(&bodies).map(|(each, body)| Upsert {
        body: Some(serde_bytes::Bytes::new(body)),
        hash: &each.hash,
        kind: each.key.kind.as_str(),
        name: &each.key.name,
    });
    let update = Update { full: true, upserts: upserts.collect(), ..Update::at(position) };
    let frame = encode_to_proxy(&ToProxy::Update(update));
    let payload = &frame[FRAME_PREFIX..];
    let header = Header {
        magic: MAGIC.to_owned(),
        format: FORMAT,
        schema: SCHEMA,
        version: VERSION.to_owned(),
        epoch: position.epoch,
        generation: position.generation,
        written_ms,
        bytes: payload.len(),
        crc32: crc32fast::hash(payload),
    };
    let mut out = serde_json::to_vec(&header).unwrap_or_default();
    out.push(b'\n');
    out.extend_from_slice(payload);
    out
}

/// Reads a file's bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<LastGood, Refused> {
    let broken = |what: &str| Refused::Broken(what.to_owned());
    let line_end = bytes.iter().take(MAX_HEADER).position(|byte| *byte == b'\n');
    let line_end = line_end.ok_or_else(|| broken("it has no header"))?;
    let (line, payload) = (&bytes[..line_end], &bytes[line_end + 1..]);
    let header: Header = serde_json::from_slice(line).map_err(|error| Refused::Broken(error.to_string()))?;
    if header.magic != MAGIC {
        return Err(broken("it is another kind of file"));
    }
    if (header.format, header.schema) != (FORMAT, SCHEMA) {
        let found = format!("format {}, schema {}", header.format, header.schema);
        return Err(Refused::ForeignSchema(found));
    }
    if payload.len() != header.bytes || crc32fast::hash(payload) != header.crc32 {
        return Err(broken("length or checksum differ"));
    }
    Ok(LastGood {
        payload: payload.to_vec(),
        written_ms: header.written_ms,
        trusted: header.version == VERSION,
    })
}

/// Reads the file.
pub(crate) fn load(path: &Path) -> Result<LastGood, Refused> {
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Refused::Absent,
        _ => Refused::Unreadable(error),
    })?;
    decode(&bytes)
}

/// Replaces the file.
pub(crate) fn store(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::held::Content;
    use super::*;
    use fairlead_snapshot::{Key, Kind};
    use std::os::unix::fs::PermissionsExt;

    fn file() -> Vec<u8> {
        let key = Key::new(Kind::Backend, "Service/a/b/80");
        let saved = Saved { key, hash: "hash".into(), content: Content::Body([1, 2, 3].as_slice().into()) };
        encode(Position { epoch: 5, generation: 6 }, &[saved], 1_000)
    }

    #[test]
    fn what_was_written_is_read() {
        let read = decode(&file()).unwrap();
        let update = read.update().unwrap();
        assert_eq!(update.position, Position { epoch: 5, generation: 6 });
        assert!(update.full && read.trusted);
        assert_eq!((update.upserts.len(), update.upserts[0].hash), (1, "hash"));
    }

    #[test]
    fn every_damage_is_refused() {
        let good = file();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x01;
            // A flipped bit in the header's free fields is no damage to the configuration.
            let harmless = decode(&bad).is_ok_and(|read| read.payload == decode(&good).unwrap().payload);
            assert!(harmless || decode(&bad).is_err(), "byte {at}");
            let cut = decode(&good[..at]);
            assert!(matches!(cut, Err(Refused::Broken(_))), "cut at {at}: {cut:?}");
        }
    }

    #[test]
    fn another_schema_is_refused_by_name_and_another_version_is_not_trusted() {
        let text = |from: &str, to: &str| {
            let line_end = file().iter().position(|byte| *byte == b'\n').unwrap();
            let header = String::from_utf8(file()[..line_end].to_vec()).unwrap().replace(from, to);
            [header.as_bytes(), &file()[line_end..]].concat()
        };
        assert!(matches!(decode(&text("\"schema\":1", "\"schema\":2")), Err(Refused::ForeignSchema(_))));
        let other = text(&format!("\"version\":\"{VERSION}\""), "\"version\":\"9.9.9\"");
        assert!(!decode(&other).unwrap().trusted);
    }

    #[test]
    fn the_file_is_replaced_whole_and_is_the_owners_alone() {
        let folder = std::env::temp_dir().join(format!("fairlead-last-good-{}", std::process::id()));
        let path = folder.join("deeper/last-good");
        assert!(matches!(load(&path), Err(Refused::Absent)));
        store(&path, b"old").unwrap();
        store(&path, &file()).unwrap();
        assert_eq!(load(&path).unwrap().written_ms, 1_000);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
        std::fs::remove_dir_all(folder).unwrap();
    }
}
