//! Compression, as far as the client wants it.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blake3::Hash;
use flate2::Compression;
use flate2::read::GzEncoder;

/// How a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Encoding {
    Brotli,
    Gzip,
    Identity,
}

/// Bodies shorter than this grow or gain nothing that a packet would notice.
const WORTH_IT: usize = 1024;
/// Of 0 to 11. Higher ones take ten times as long for a tenth less, and this is done
/// while somebody waits.
const BROTLI_QUALITY: u32 = 5;
/// Of 10 to 24: the window of two to that power bytes, at most.
const BROTLI_WINDOW: u32 = 22;
const BUFFER: usize = 64 << 10;

impl Encoding {
    /// The smallest that `accept`, an Accept-Encoding header, allows for such a body.
    pub(super) fn choose(accept: &str, kind: &str, length: usize) -> Self {
        if length < WORTH_IT || !compresses(kind) {
            return Self::Identity;
        }
        let wanted = |name| quality(accept, name) > 0.0;
        match () {
            () if wanted("br") => Self::Brotli,
            () if wanted("gzip") => Self::Gzip,
            () => Self::Identity,
        }
    }

    /// The value of Content-Encoding.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Brotli => Some("br"),
            Self::Gzip => Some("gzip"),
            Self::Identity => None,
        }
    }
}

/// Whether bodies of this media type are worth a try. Files of the user's may be
/// anything, and are sent as they are.
fn compresses(kind: &str) -> bool {
    kind.starts_with("text/") || kind.ends_with("json") || kind.ends_with("wasm")
}

/// How much the header wants an encoding, from 0 to 1 (RFC 9110, 12.5.3).
fn quality(accept: &str, name: &str) -> f32 {
    let mut of_any = 0.0;
    for item in accept.split(',') {
        let mut parts = item.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        let weight = weight.map_or(Ok(1.0), str::parse).unwrap_or(0.0);
        if coding.eq_ignore_ascii_case(name) {
            return weight;
        }
        if coding == "*" {
            of_any = weight;
        }
    }
    of_any
}

/// Compressed bodies, so that each is compressed once. It holds one for each path and
/// encoding, the newest.
#[derive(Default)]
pub(super) struct Compressor(Mutex<HashMap<(String, Encoding), Compressed>>);

/// A body, and the hash of what it is the compressed form of.
struct Compressed {
    of: Hash,
    body: Arc<[u8]>,
}

impl Compressor {
    /// `bytes`, which are at `path` and have this hash, in this encoding.
    pub(super) fn compress(
        &self,
        path: &str,
        hash: Hash,
        bytes: &[u8],
        encoding: Encoding,
    ) -> Arc<[u8]> {
        let key = (path.to_owned(), encoding);
        if let Some(kept) = self.lock().get(&key).filter(|kept| kept.of == hash) {
            return Arc::clone(&kept.body);
        }
        // Not under the lock: a large program takes its time.
        let body: Arc<[u8]> = compress(bytes, encoding).into();
        let newest = Compressed {
            of: hash,
            body: Arc::clone(&body),
        };
        self.lock().insert(key, newest);
        body
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, Encoding), Compressed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn compress(bytes: &[u8], encoding: Encoding) -> Vec<u8> {
    let mut body = Vec::new();
    let outcome = match encoding {
        Encoding::Brotli => {
            brotli::CompressorReader::new(bytes, BUFFER, BROTLI_QUALITY, BROTLI_WINDOW)
                .read_to_end(&mut body)
        }
        Encoding::Gzip => GzEncoder::new(bytes, Compression::default()).read_to_end(&mut body),
        Encoding::Identity => return bytes.to_vec(),
    };
    outcome.expect("reading from memory does not fail");
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(accept: &str) -> Encoding {
        Encoding::choose(accept, "application/wasm", WORTH_IT)
    }

    #[test]
    fn the_smallest_that_is_accepted() {
        assert_eq!(chosen("gzip, deflate, br, zstd"), Encoding::Brotli);
        assert_eq!(chosen("gzip, deflate"), Encoding::Gzip);
        assert_eq!(chosen("GZIP;q=0.2"), Encoding::Gzip);
        assert_eq!(chosen("*"), Encoding::Brotli);
        assert_eq!(chosen("br;q=0, *;q=0.1"), Encoding::Gzip);
        assert_eq!(chosen("gzip;q=0"), Encoding::Identity);
        assert_eq!(chosen("gzip;q=much"), Encoding::Identity);
        assert_eq!(chosen(""), Encoding::Identity);
    }

    #[test]
    fn what_gains_nothing_is_left_alone() {
        assert_eq!(
            Encoding::choose("br", "text/css", WORTH_IT - 1),
            Encoding::Identity
        );
        let files = "application/octet-stream";
        assert_eq!(Encoding::choose("br", files, WORTH_IT), Encoding::Identity);
    }

    #[test]
    fn newer_contents_replace_older_ones() {
        let compressor = Compressor::default();
        for text in ["one", "two"] {
            let bytes = text.repeat(1000).into_bytes();
            let hash = blake3::hash(&bytes);
            let body = compressor.compress("path", hash, &bytes, Encoding::Gzip);
            let mut back = Vec::new();
            let mut reader = flate2::read::GzDecoder::new(&body[..]);
            reader.read_to_end(&mut back).expect("it is gzip");
            assert_eq!(back, bytes);
        }
        assert_eq!(compressor.0.lock().expect("nobody panicked").len(), 1);
    }
}
