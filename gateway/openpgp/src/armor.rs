//! ASCII armor (RFC 9580, section 6), read strictly: one block, and nothing around it.

use std::io::Read;

use pgp::armor::{BlockType, Dearmor, DearmorOptions};

use crate::fault::Fault;

/// The bytes inside the one block of type `wanted`, whose header line names `name`.
pub(crate) fn dearmor(
    armored: &str,
    (wanted, name): (BlockType, &'static str),
    bytes_max: usize,
) -> Result<Vec<u8>, Fault> {
    if armored.len() > bytes_max {
        return Err(Fault::TooLong(bytes_max));
    }
    let text = armored.trim();
    let (begin, end) = (format!("-----BEGIN {name}-----"), format!("-----END {name}-----"));
    let framed = text.starts_with(&begin) && text.ends_with(&end) && text.matches("-----BEGIN").count() == 1;
    if !framed {
        return Err(Fault::Armor(name));
    }
    let options = DearmorOptions::new().set_limit(bytes_max);
    let mut reader = Dearmor::with_options(text.as_bytes(), options);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(|_| Fault::Armor(name))?;
    let is_wanted = reader.typ.as_ref() == Some(&wanted);
    if is_wanted && !bytes.is_empty() { Ok(bytes) } else { Err(Fault::Armor(name)) }
}
