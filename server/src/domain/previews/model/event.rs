//! What others may want to know of a preview.

use serde::{Deserialize, Serialize};

use super::Preview;
use crate::base::{
    ids::{DeviceId, PreviewId, ProjectId, TeamId, UserId},
    outbox::Event,
};

/// A preview can be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewReady {
    /// The preview.
    pub preview: PreviewId,
    /// The project it was published from.
    pub project: ProjectId,
    /// The team the project belongs to.
    pub team: TeamId,
    /// Who published it.
    pub publisher: UserId,
    /// The only device that can open it; none if every device of the publisher can.
    pub device: Option<DeviceId>,
}

impl Event for PreviewReady {
    const KIND: &'static str = "preview.ready";
}

impl From<&Preview> for PreviewReady {
    fn from(preview: &Preview) -> Self {
        Self {
            preview: preview.id,
            project: preview.project,
            team: preview.team,
            publisher: preview.publisher,
            device: preview.device,
        }
    }
}

/// The files of a preview are not what its manifest says, or could not be checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewFailed {
    /// The preview.
    pub preview: PreviewId,
    /// The project it was published from.
    pub project: ProjectId,
    /// The team the project belongs to.
    pub team: TeamId,
    /// Who published it.
    pub publisher: UserId,
}

impl Event for PreviewFailed {
    const KIND: &'static str = "preview.failed";
}

impl From<&Preview> for PreviewFailed {
    fn from(preview: &Preview) -> Self {
        Self {
            preview: preview.id,
            project: preview.project,
            team: preview.team,
            publisher: preview.publisher,
        }
    }
}
