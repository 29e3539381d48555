//! How the bytes of a log stand in an object: as they are, or compressed where that pays.
//!
//! An object that begins like a gzip file is one; every other is the log itself. So `zcat -f` shows any of them. A log
//! that happens to begin like a gzip file is compressed whether it pays or not.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// The first bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Below this a request costs more than the bytes.
const WORTH_IT: usize = 256;

/// The object for a log.
pub(super) fn pack(log: &Bytes) -> std::io::Result<Bytes> {
    let looks_packed = log.starts_with(&GZIP);
    if log.len() < WORTH_IT && !looks_packed {
        return Ok(log.clone());
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(log.len() / 4), Compression::fast());
    encoder.write_all(log)?;
    let packed = encoder.finish()?;
    // An eighth less is the least that pays for unpacking it again.
    let pays = packed.len() <= log.len() - log.len() / 8;
    Ok(if pays || looks_packed { packed.into() } else { log.clone() })
}

/// The log in an object.
pub(super) fn unpack(object: Bytes) -> std::io::Result<Bytes> {
    if !object.starts_with(&GZIP) {
        return Ok(object);
    }
    let mut log = Vec::with_capacity(object.len() * 4);
    GzDecoder::new(&*object).read_to_end(&mut log)?;
    Ok(log.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_pays_is_compressed_and_nothing_else() {
        let text = Bytes::from("a line of log, and one more\n".repeat(100));
        assert!(pack(&text).unwrap().len() < 200);
        let short = Bytes::from_static(b"a line of log\n");
        assert_eq!(pack(&short).unwrap(), short);
        let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        let noise: Bytes = std::iter::successors(Some(1), next).map(|state| (state >> 24) as u8).take(4096).collect();
        assert!(pack(&noise).unwrap() == noise);
        let gzip = pack(&text).unwrap();
        assert!(unpack(pack(&gzip).unwrap()).unwrap() == gzip, "a log that is a gzip file");
        assert!(unpack(gzip.slice(..50)).is_err(), "a part of an object is not taken for the whole");
    }

    proptest! {
        #[test]
        fn logs_come_back_as_they_were(log in proptest::collection::vec(any::<u8>(), 0..2000), gzip: bool) {
            let log: Bytes = if gzip { [&GZIP[..], &log].concat().into() } else { log.into() };
            prop_assert_eq!(unpack(pack(&log).unwrap()).unwrap(), log);
        }
    }
}
