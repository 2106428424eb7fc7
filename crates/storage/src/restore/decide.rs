//! What happens with each file of a snapshot. Pure.
//!
//! ```text
//!  same entry in the base           ──► kept as it is
//!  every chunk: here (base, boot pack), zeros, or to be fetched   ──► whole: written in place
//!  some chunk absent                ──► lazy: emptied, then sparse; what the boot pack has is written
//! ```
//!
//! A lazy file keeps nothing of a base's file: its old bytes would look like filled chunks after a crash,
//! because holes are the durable truth of what is absent. Its inode is used again, for making inodes is what
//! file systems are slow at.

use crate::chunk::{self, ChunkRef};
use crate::manifest::segment::{self, MAP_CHUNKS};
use crate::manifest::{Bits, Content, FileEntry, Manifest};
use crate::pack::boot::BootPack;
use crate::snapshot::rules::Need;
use crate::snapshot::{control_file, is_of_template, needs};

use super::Mode;

/// What happens with one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Keep,
    /// It is made, or changed in place.
    Write {
        /// Its number in the manifest.
        file: usize,
        /// Whether the base has a file of this name.
        exists: bool,
        /// Whether the base's bytes must go: the file has holes.
        reset: bool,
        /// Chunks whose stored bytes are in the boot pack.
        boot: Vec<(u32, ChunkRef)>,
        /// Chunks of zeros that must be written as such, because something else may be there.
        zeros: Vec<u32>,
    },
}

/// What happens with all files.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub(super) steps: Vec<Step>,
    pub(super) kept: u64,
    /// Chunks to fetch: file, chunk, where.
    pub(super) fetch: Vec<(usize, u32, ChunkRef)>,
    /// Files with holes: number, chunks that are there.
    pub(super) lazy: Vec<(usize, Bits)>,
}

impl Decided {
    /// The chunks of the boot pack that belong to files which starts can do without.
    pub(super) fn hot(&self, manifest: &Manifest) -> Vec<(String, u32)> {
        let needs = needs(manifest);
        let of = |step: &Step| match step {
            Step::Write { file, boot, .. } if needs[*file] == Need::Later => {
                let path = &manifest.files[*file].path;
                boot.iter().map(|(chunk, _)| (path.clone(), *chunk)).collect()
            }
            _ => Vec::new(),
        };
        self.steps.iter().flat_map(of).collect()
    }
}

/// What is known of a file's references without asking the store.
pub(super) struct Known {
    /// One for each chunk; `None` where only a segment map in a pack says it.
    pub(super) refs: Vec<Option<ChunkRef>>,
}

impl Known {
    /// From the manifest, and from segment maps that are in the boot pack.
    pub(super) fn of(file: &FileEntry, boot: &BootPack) -> Self {
        let maps = match &file.content {
            Content::Chunks(refs) => return Self { refs: refs.iter().cloned().map(Some).collect() },
            Content::Maps(maps) => maps,
        };
        let mut refs = vec![None; file.chunks() as usize];
        for (part, at) in refs.chunks_mut(MAP_CHUNKS as usize).zip(maps) {
            let map = boot.stored(at.hash).and_then(|stored| segment::decode(stored, at.hash).ok());
            if let Some(map) = map.filter(|map| map.len() == part.len()) {
                part.iter_mut().zip(map).for_each(|(slot, at)| *slot = Some(at));
            }
        }
        Self { refs }
    }
}

/// Decides for all files; `known` are the references of each, in order.
pub(super) fn decide(
    manifest: &Manifest,
    base: Option<&Manifest>,
    boot: &BootPack,
    known: &[Known],
    mode: Mode,
) -> Decided {
    let mut decided = Decided::default();
    let needs = needs(manifest);
    for (number, file) in manifest.files.iter().enumerate() {
        let before = base.and_then(|base| base.file(&file.path));
        let same = before.is_some_and(|b| b.size == file.size && b.content == file.content);
        // The control file is written last, under a name that depends on the rest.
        if same || file.path == control_file::PATH {
            decided.kept += u64::from(same);
            decided.steps.push(Step::Keep);
            continue;
        }
        let one = One { file, number, before, boot, refs: &known[number].refs, need: needs[number], mode };
        one.decide(&mut decided);
    }
    decided
}

struct One<'a> {
    file: &'a FileEntry,
    number: usize,
    before: Option<&'a FileEntry>,
    boot: &'a BootPack,
    refs: &'a [Option<ChunkRef>],
    need: Need,
    mode: Mode,
}

impl One<'_> {
    fn decide(&self, out: &mut Decided) {
        let exists = self.before.is_some();
        let whole = (0..self.file.chunks()).all(|chunk| !self.is_absent(chunk));
        let (mut boot, mut zeros, mut present) = (Vec::new(), Vec::new(), Bits::none(self.file.chunks()));
        for (chunk, at) in (0..).zip(self.refs) {
            let Some(at) = at else { continue };
            if at.is_zeros() {
                if exists && whole {
                    zeros.push(chunk);
                }
            } else if whole && self.in_base(chunk) {
                // It is where it should be.
            } else if self.boot.stored(at.hash).is_some() {
                boot.push((chunk, at.clone()));
            } else if whole {
                out.fetch.push((self.number, chunk, at.clone()));
            } else {
                continue;
            }
            present.set(chunk);
        }
        if !whole {
            out.lazy.push((self.number, present));
        }
        out.steps.push(Step::Write { file: self.number, exists, reset: exists && !whole, boot, zeros });
    }

    /// Whether a chunk stays absent.
    fn is_absent(&self, chunk: u32) -> bool {
        if self.mode == Mode::Eager || self.need == Need::Must {
            return false;
        }
        let Some(at) = &self.refs[chunk as usize] else { return true };
        let here = at.is_zeros() || self.in_base(chunk) || self.boot.stored(at.hash).is_some();
        // The boot pack leaves out what the template has: without a spare that is one request.
        let fetched = self.need == Need::Soon && is_of_template(at);
        !here && !fetched
    }

    /// Whether the base's file has this chunk at the same place.
    fn in_base(&self, chunk: u32) -> bool {
        let Some(FileEntry { size, content: Content::Chunks(refs), .. }) = self.before else { return false };
        let same_len = chunk::plain_len(*size, chunk) == chunk::plain_len(self.file.size, chunk);
        let there = refs.get(chunk as usize);
        same_len && there.is_some() && there == self.refs[chunk as usize].as_ref()
    }
}
