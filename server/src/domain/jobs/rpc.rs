//! `hivesync.v1.JobService`.

use futures::StreamExt as _;
use hivesync_proto::v1 as pb;
use tonic::{Request, Response, Status};

use super::{
    model::{Job, JobKind, JobPhase, Progress},
    ops::{self, Queued, Sighting},
};
use crate::base::{
    ids::{JobId, ProjectId, TeamId},
    page::PageRequest,
    rpc::{Responses, serve, serve_stream},
    user_streams::UserStreams,
};

/// The service.
#[derive(Clone, Debug, Default)]
pub struct Rpc {
    watches: UserStreams,
}

#[tonic::async_trait]
impl pb::job_service_server::JobService for Rpc {
    type WatchJobStream = Responses<pb::WatchJobResponse>;

    async fn get_job(&self, request: Request<pb::GetJobRequest>) -> Result<Response<pb::Job>, Status> {
        serve(request, |ctx, message| async move {
            let id = JobId::parse("job_id", &message.job_id)?;
            Ok(ops::get(&ctx, id).await?.into())
        })
        .await
    }

    async fn list_jobs(
        &self,
        request: Request<pb::ListJobsRequest>,
    ) -> Result<Response<pb::ListJobsResponse>, Status> {
        serve(request, |ctx, message| async move {
            let team = TeamId::parse("team_id", &message.team_id)?;
            let project = match message.project_id.as_str() {
                "" => None,
                id => Some(ProjectId::parse("project_id", id)?),
            };
            let request = PageRequest::new(message.page_size, message.page_token);
            let page = ops::list(&ctx, team, project, request).await?;
            Ok(pb::ListJobsResponse {
                jobs: page.items.into_iter().map(Into::into).collect(),
                next_page_token: page.next,
            })
        })
        .await
    }

    async fn watch_job(
        &self,
        request: Request<pb::WatchJobRequest>,
    ) -> Result<Response<Self::WatchJobStream>, Status> {
        serve_stream(request, |ctx, message| async move {
            let id = JobId::parse("job_id", &message.job_id)?;
            let sightings = ops::watch(ctx, &self.watches, id).await?;
            Ok(sightings.map(|sighting| Ok(pb::WatchJobResponse { job: Some(sighting?.into()) })))
        })
        .await
    }

    async fn cancel_job(&self, request: Request<pb::CancelJobRequest>) -> Result<Response<pb::Job>, Status> {
        serve(request, |ctx, message| async move {
            let id = JobId::parse("job_id", &message.job_id)?;
            Ok(ops::request_cancel(&ctx, id).await?.into())
        })
        .await
    }
}

impl From<Sighting> for pb::Job {
    fn from(sighting: Sighting) -> Self {
        Self { progress: sighting.progress.map(Into::into), ..sighting.job.into() }
    }
}

/// A job that was just queued, for the RPCs of the slices that queue it.
impl From<Queued> for pb::Job {
    fn from(queued: Queued) -> Self {
        Self { joined: queued.joined, ..queued.job.into() }
    }
}

impl From<Job> for pb::Job {
    fn from(job: Job) -> Self {
        Self {
            id: job.id.to_string(),
            kind: pb::JobKind::from(job.kind()).into(),
            state: pb::JobState::from(job.state).into(),
            team_id: job.team.to_string(),
            project_id: job.project.map(|id| id.to_string()).unwrap_or_default(),
            attempts: job.tally.attempts,
            failure: job.failure.unwrap_or_default().into(),
            progress: None,
            created_at: Some(job.created_at.into()),
            started_at: job.started_at.map(Into::into),
            finished_at: job.finished_at.map(Into::into),
            joined: false,
        }
    }
}

impl From<JobKind> for pb::JobKind {
    fn from(kind: JobKind) -> Self {
        match kind {
            JobKind::RepoSync => Self::RepoSync,
            JobKind::PreviewVerify => Self::PreviewVerify,
            JobKind::Cleanup => Self::Cleanup,
        }
    }
}

impl From<Progress> for pb::JobProgress {
    fn from(progress: Progress) -> Self {
        let phase = match progress.phase {
            JobPhase::Preparing => pb::JobPhase::Preparing,
            JobPhase::Counting => pb::JobPhase::Counting,
            JobPhase::Receiving => pb::JobPhase::Receiving,
            JobPhase::Resolving => pb::JobPhase::Resolving,
            JobPhase::Verifying => pb::JobPhase::Verifying,
            JobPhase::Publishing => pb::JobPhase::Publishing,
        };
        Self { phase: phase.into(), done: progress.done, total: progress.total, bytes: progress.bytes }
    }
}
