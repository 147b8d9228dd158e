//! Looking at jobs.

use std::time::Duration;

use futures::{Stream, stream};
use uuid::Uuid;

use super::cancel::cancel;
use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::{Error, Result},
        ids::{JobId, ProjectId, TeamId, UserId},
        page::{Page, PageRequest},
        places::Place,
        signal::Listener,
        user_streams::UserStreams,
    },
    domain::{
        access::{self, Permission},
        jobs::{
            model::{Job, JobState, Progress},
            store, topic_of,
        },
    },
};

/// How long a job's progress is remembered without a newer one.
const PROGRESS_TTL: Duration = Duration::from_secs(10 * 60);
/// How often a watched job is looked at without a wake-up.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A job, and how far it is if it runs.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::domain::jobs) struct Sighting {
    pub job: Job,
    pub progress: Option<Progress>,
}

/// A job of a team in which the caller may read jobs.
///
/// # Errors
/// `NOT_FOUND` if there is none.
pub(in crate::domain::jobs) async fn get(ctx: &Ctx, id: JobId) -> Result<Sighting> {
    let tx = ctx.read();
    let job = find(ctx, &tx, id, Permission::ReadJobs).await?;
    let progress = progress_of(ctx, &job).await;
    Ok(Sighting { job, progress })
}

async fn find(ctx: &Ctx, tx: &Tx, id: JobId, permission: Permission) -> Result<Job> {
    let job = store::find(tx, id).await?.ok_or_else(Error::not_found)?;
    access::require(ctx, tx, job.team, permission).await?;
    Ok(job)
}

/// Jobs of a team, newest first.
pub(in crate::domain::jobs) async fn list(
    ctx: &Ctx,
    team: TeamId,
    project: Option<ProjectId>,
    request: PageRequest,
) -> Result<Page<Sighting>> {
    let tx = ctx.read();
    access::require(ctx, &tx, team, Permission::ReadJobs).await?;
    let project_name = project.map(|id| id.to_string()).unwrap_or_default();
    let scope = format!("jobs:{team}:{project_name}");
    let key = request.after(ctx, &scope)?;
    let before = key.and_then(|key| Uuid::from_slice(&key).ok()).map(JobId);
    let jobs = store::list(&tx, team, project, before, request.size + 1).await?;
    let page = Page::cut(ctx, &scope, &request, jobs, |last| last.id.0.as_bytes().to_vec())?;
    let mut items = Vec::with_capacity(page.items.len());
    for job in page.items {
        let progress = progress_of(ctx, &job).await;
        items.push(Sighting { job, progress });
    }
    Ok(Page { items, next: page.next })
}

/// A job as it stands now, and again whenever it has changed, until it has ended.
///
/// # Errors
/// `NOT_FOUND` if there is none, `RATE_LIMITED` if the caller watches 16 jobs on this server.
pub(in crate::domain::jobs) async fn watch(
    ctx: Ctx,
    watches: &UserStreams,
    id: JobId,
) -> Result<impl Stream<Item = Result<Sighting>> + Send + use<>> {
    let place = watches.open(ctx.user()?.id)?;
    let changes = ctx.signals.listen(topic_of(id));
    let first = get(&ctx, id).await?;
    Ok(stream::unfold(Watch { ctx, id, changes, last: None, first: Some(first), _place: place }, Watch::next))
}

struct Watch {
    ctx: Ctx,
    id: JobId,
    changes: Listener,
    first: Option<Sighting>,
    last: Option<Sighting>,
    _place: Place<UserId>,
}

impl Watch {
    /// The next state that differs from the last one. Whether the caller may still look is asked each time.
    async fn next(mut self) -> Option<(Result<Sighting>, Self)> {
        loop {
            let seen = match self.first.take() {
                Some(first) => first,
                None if self.last.as_ref()?.job.state.is_terminal() => return None,
                None => {
                    self.changes.wait_at_most(LOOK_EVERY).await;
                    match get(&self.ctx, self.id).await {
                        Ok(seen) => seen,
                        Err(error) => {
                            self.last = None;
                            return Some((Err(error), self));
                        }
                    }
                }
            };
            if self.last.as_ref() != Some(&seen) {
                self.last = Some(seen.clone());
                return Some((Ok(seen), self));
            }
        }
    }
}

/// Asks for a job to be stopped; how it stands then.
///
/// # Errors
/// `NOT_FOUND` if there is none, `PERMISSION_DENIED` if the caller may read jobs only.
pub(in crate::domain::jobs) async fn request_cancel(ctx: &Ctx, id: JobId) -> Result<Sighting> {
    let tx = ctx.begin().await?;
    let job = find(ctx, &tx, id, Permission::CancelJobs).await?;
    let job = cancel(ctx, &tx, job).await?;
    tx.commit().await?;
    let progress = progress_of(ctx, &job).await;
    Ok(Sighting { job, progress })
}

/// Takes note of how far a job is.
pub(in crate::domain::jobs) async fn publish_progress(
    ctx: &Ctx,
    id: JobId,
    epoch: u64,
    progress: Progress,
) -> Result<()> {
    keep_progress(ctx, id, epoch, progress).await?;
    ctx.signals.raise(topic_of(id));
    Ok(())
}

/// Keeps how far a job is for whoever looks next.
pub(super) async fn keep_progress(ctx: &Ctx, id: JobId, epoch: u64, progress: Progress) -> Result<()> {
    let value = serde_json::to_vec(&progress).map_err(Error::internal)?;
    Ok(ctx.kv.put(&progress_key(id, epoch), value, PROGRESS_TTL).await?)
}

/// How far a job is, if it runs and has said so, or how far it came. A key store that does not answer costs the progress only.
async fn progress_of(ctx: &Ctx, job: &Job) -> Option<Progress> {
    if !job.state.is_leased() && job.state != JobState::Succeeded {
        return None;
    }
    let stored = ctx.kv.get(&progress_key(job.id, job.lease_epoch)).await.ok()??;
    serde_json::from_slice(&stored).ok()
}

fn progress_key(id: JobId, epoch: u64) -> String {
    format!("job-progress:{id}:{epoch}")
}
