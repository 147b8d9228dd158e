//! Removes the mirrors of projects that are gone.

use hivesync_proto::v1::{CleanupResult, CleanupWork, ErrorReason, FailureClass, JobPhase, JobProgress};
use uuid::Uuid;

use super::{JobContext, JobError};
use crate::{
    git::mirror::{Mirror, MirrorError},
    task,
};

/// Removes each mirror that is there. Doing it again does nothing.
///
/// # Errors
/// If an id is none, if a mirror is in use, or if the disk fails.
pub async fn run(context: JobContext, work: CleanupWork) -> Result<CleanupResult, JobError> {
    let mut result = CleanupResult::default();
    let total = work.project_ids.len() as u64;
    for (done, project_id) in work.project_ids.iter().enumerate() {
        if context.stop.is_asked() {
            return Err(JobError::Stopped);
        }
        let phase = JobPhase::Publishing.into();
        context.progress.send(JobProgress { phase, done: done as u64, total, bytes: result.bytes_freed });
        let project_id = Uuid::try_parse(project_id).map_err(|_| {
            JobError::failed(
                FailureClass::NonRetryable,
                ErrorReason::InvalidRequest,
                "a project id is malformed",
            )
        })?;
        let data_dir = context.data_dir.clone();
        if let Some(bytes) =
            task::blocking(move || Mirror::remove(&data_dir, project_id)).await?.map_err(busy)?
        {
            result.mirrors_removed += 1;
            result.bytes_freed = result.bytes_freed.saturating_add(bytes);
        }
    }
    Ok(result)
}

fn busy(error: MirrorError) -> JobError {
    match error {
        MirrorError::Disk(error) => error.into(),
        _ => JobError::failed(FailureClass::AppError, ErrorReason::Conflict, "a mirror is in use"),
    }
}
