//! Packs that were received, before they count.

use std::{fs::File, io, path::Path};

use gix::{
    hash::Kind,
    odb::pack::{
        data::{self, Offset, entry::Header},
        index,
    },
};
use thiserror::Error;

/// The most deltas that an object may stand on. Whoever reads it makes it anew from each of them, and a few bytes
/// can stand for as many large ones: this bounds what one object costs, whatever git has let through. git makes
/// chains of 50 (`pack.depth`), and `git gc --aggressive` once made some of 250.
pub const DELTA_DEPTH_MAX: u16 = 500;

/// Why a pack is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PackError {
    /// An object stands on more than [`DELTA_DEPTH_MAX`] deltas.
    #[error("the repository has objects that are deltas of too many others")]
    TooDeep,
    /// It is not as git writes it.
    #[error("a pack cannot be read")]
    Unreadable,
}

/// Makes sure that no object of a pack stands on more than [`DELTA_DEPTH_MAX`] deltas. The pack lies beside its
/// `index`, and is whole: git has checked it. Only the header of each object is read. Blocks.
///
/// # Errors
/// If one does, or if the pack cannot be read.
pub fn check_depth(index: &Path) -> Result<(), PackError> {
    let pack = Pack::open(index)?;
    let mut depths: Vec<Option<u16>> = vec![None; pack.offsets.len()];
    let mut chain = Vec::new();
    for object in 0..depths.len() {
        // Down to an object whose depth is known, or that is no delta; and up again.
        let mut next = Some(object);
        let mut depth = None;
        while let Some(object) = next {
            depth = *depths.get(object).ok_or(PackError::Unreadable)?;
            if depth.is_some() {
                break;
            }
            if chain.len() > usize::from(DELTA_DEPTH_MAX) {
                return Err(PackError::TooDeep);
            }
            chain.push(object);
            next = pack.base_of(object)?;
        }
        while let Some(object) = chain.pop() {
            let above = depth.map_or(0, |depth| depth + 1);
            if above > DELTA_DEPTH_MAX {
                return Err(PackError::TooDeep);
            }
            depth = Some(above);
            *depths.get_mut(object).ok_or(PackError::Unreadable)? = depth;
        }
    }
    Ok(())
}

/// Whether the pack of an `index` is there to its end, by the checksum that both end with. What lies between is not read.
/// Blocks.
///
/// # Errors
/// If one of the two cannot be opened although it is there.
pub fn is_whole(index: &Path) -> io::Result<bool> {
    for file in [index, &index.with_extension("pack")] {
        match File::open(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            outcome => drop(outcome?),
        }
    }
    Ok(open(index).is_ok_and(|(data, index)| data.checksum() == index.pack_checksum()))
}

fn open(index: &Path) -> Result<(data::File, index::File), PackError> {
    let data = data::File::at(index.with_extension("pack"), Kind::Sha1).map_err(|_| PackError::Unreadable)?;
    let index = index::File::at(index, Kind::Sha1).map_err(|_| PackError::Unreadable)?;
    Ok((data, index))
}

struct Pack {
    data: data::File,
    index: index::File,
    /// Where each object begins, in order.
    offsets: Vec<Offset>,
}

impl Pack {
    fn open(index: &Path) -> Result<Self, PackError> {
        let (data, index) = open(index)?;
        let offsets = index.sorted_offsets();
        Ok(Self { data, index, offsets })
    }

    /// The object, by its place in `offsets`, that another is a delta of; `None` if it is no delta.
    fn base_of(&self, object: usize) -> Result<Option<usize>, PackError> {
        let offset = *self.offsets.get(object).ok_or(PackError::Unreadable)?;
        let entry = self.data.entry(offset).map_err(|_| PackError::Unreadable)?;
        let base = match entry.header {
            Header::OfsDelta { base_distance } => entry.checked_base_pack_offset(base_distance),
            Header::RefDelta { base_id } => {
                self.index.lookup(base_id).map(|base| self.index.pack_offset_at_index(base))
            }
            _ => return Ok(None),
        };
        let base = base.and_then(|offset| self.offsets.binary_search(&offset).ok());
        base.map(Some).ok_or(PackError::Unreadable)
    }
}
