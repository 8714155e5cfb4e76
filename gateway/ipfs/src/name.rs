//! CIDs of content that fits one chunk: a UnixFS file in one dag-pb block, as `ipfs add` makes it by default, and the
//! raw leaf that `ipfs add --raw-leaves` makes of the same bytes.

use cid::{Cid, Version};
use multihash::Multihash;
use sha2::{Digest, Sha256};

/// Kubo's default chunk; longer content would be a tree of blocks.
pub const CONTENT_BYTES_MAX: usize = 256 * 1024;

/// Multicodec codes.
const RAW: u64 = 0x55;
const DAG_PB: u64 = 0x70;
const SHA2_256: u64 = 0x12;

#[derive(Debug, thiserror::Error)]
#[error("content for IPFS must have at most {CONTENT_BYTES_MAX} bytes")]
pub struct TooLong;

pub(crate) struct Named {
    pub(crate) cid: Cid,
    pub(crate) digest: [u8; 32],
    pub(crate) block: Vec<u8>,
}

/// CIDv1 of the content as one UnixFS file.
pub(crate) fn file(content: &[u8]) -> Result<Named, TooLong> {
    if content.len() > CONTENT_BYTES_MAX {
        return Err(TooLong);
    }
    let block = dag_pb_file(content);
    let digest: [u8; 32] = Sha256::digest(&block).into();
    Ok(Named { cid: Cid::new_v1(DAG_PB, multihash(&digest)), digest, block })
}

/// The content under a CID that Kubo gives it: version 0 or 1 of the file, or the raw leaf.
pub(crate) fn named(text: &str, content: &[u8]) -> Option<Named> {
    let cid = Cid::try_from(text).ok()?;
    let named = match (cid.version(), cid.codec()) {
        (Version::V0 | Version::V1, DAG_PB) => file(content).ok()?,
        (Version::V1, RAW) => raw_leaf(content),
        _ => return None,
    };
    (cid.hash() == named.cid.hash()).then_some(named)
}

/// The content as a block of its own.
fn raw_leaf(content: &[u8]) -> Named {
    let digest: [u8; 32] = Sha256::digest(content).into();
    Named { cid: Cid::new_v1(RAW, multihash(&digest)), digest, block: content.to_vec() }
}

/// Whether the content under this name is a raw leaf.
pub(crate) fn is_raw(text: &str) -> bool {
    Cid::try_from(text).is_ok_and(|cid| cid.codec() == RAW)
}

/// Whether two texts name the same block, whatever their version and base.
pub(crate) fn same(one: &str, other: &str) -> bool {
    match (Cid::try_from(one), Cid::try_from(other)) {
        (Ok(one), Ok(other)) => one.codec() == other.codec() && one.hash() == other.hash(),
        _ => false,
    }
}

/// The content of a block that [`named`] or [`file`] made, if its digest is `root`.
pub(crate) fn content(block: &[u8], name: &str, root: [u8; 32]) -> Option<Vec<u8>> {
    if <[u8; 32]>::from(Sha256::digest(block)) != root {
        return None;
    }
    if is_raw(name) {
        return Some(block.to_vec());
    }
    let (_, unixfs) = field(block, 0x0a)?;
    let unixfs = unixfs.strip_prefix(&[0x08, 0x02])?;
    let (_, content) = field(unixfs, 0x12)?;
    (dag_pb_file(content) == block).then(|| content.to_vec())
}

fn multihash(digest: &[u8; 32]) -> Multihash<64> {
    Multihash::wrap(SHA2_256, digest).expect("a digest of 32 bytes fits 64")
}

/// `PBNode { Data: UnixFS { Type: File, Data: content, filesize } }` in protobuf.
fn dag_pb_file(content: &[u8]) -> Vec<u8> {
    let mut unixfs = vec![0x08, 0x02, 0x12];
    write_varint(content.len(), &mut unixfs);
    unixfs.extend_from_slice(content);
    unixfs.push(0x18);
    write_varint(content.len(), &mut unixfs);
    let mut node = vec![0x0a];
    write_varint(unixfs.len(), &mut node);
    node.append(&mut unixfs);
    node
}

fn write_varint(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

/// A length-delimited field with this tag at the start: what follows it, and its bytes.
fn field(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let mut rest = bytes.strip_prefix(&[tag])?;
    let mut length = 0_usize;
    for shift in [0, 7, 14, 21] {
        let (byte, after) = rest.split_first()?;
        rest = after;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let (content, after) = rest.split_at_checked(length)?;
            return Some((after, content));
        }
    }
    None
}

#[cfg(test)]
mod tests;
