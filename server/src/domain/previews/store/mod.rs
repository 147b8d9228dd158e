//! The rows of previews.
//!
//! Whoever changes what a project's manifests refer to holds the project's row first ([`lock_project`]), so
//! that content is never swept away while a new manifest begins to refer to it.

mod content;
mod object;
mod preview;
mod project;

pub(super) use content::{
    bundle, contents_among, discard_stale_manifests, discard_stale_uploads, find_manifest, insert_manifest,
    keep_manifest, mark_arrived, mark_rejected, mark_verified, projects_to_sweep, stage, touch, unverified,
    unverified_paths,
};
pub(super) use object::{doomed_objects, forget_objects};
pub(super) use preview::{
    count_live, end, end_all, expired, find, forget_history, insert, list, set_rejected_paths, set_state,
    start_verifying,
};
pub(super) use project::{advance_epoch, epoch, lock_project};

/// Values of one statement's list: well below what either database takes.
const LIST_MAX: usize = 500;
