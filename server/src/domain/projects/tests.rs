//! Projects from their creation to their end, with the test in the worker's place.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures::StreamExt as _;
use hivesync_proto::{
    path::RepositoryPath,
    repository_url::{RepositoryUrl, UrlPolicy},
};
use sea_orm::{ConnectionTrait as _, Statement};
use uuid::Uuid;

use super::{
    CleanupJob, Mirrors, RepoSyncJob,
    model::{CommitId, CreateProject, ListTree, MirrorState, PROJECTS_MAX, Project, ReadFile},
    ops,
};
use crate::{
    base::{
        config,
        ctx::Ctx,
        db::Tx,
        error::{Reason, Result},
        fixture::Fixture,
        ids::{IdempotencyKey, TeamId, UserId},
        page::PageRequest,
        ports::Ports,
    },
    domain::{
        access::{Memberships, Permission, TeamRole},
        jobs::{
            self, CleanupOutcome, Job, JobHandler as _, JobHandlers, JobState, LeasedWork, Outcome,
            SyncOutcome, Work,
        },
        users::Name,
    },
};

const ADMIN: u128 = 0xad;
const MEMBER: u128 = 1;
const GUEST: u128 = 2;
const STRANGER: u128 = 3;
const TEAM: TeamId = TeamId(Uuid::from_u128(10));
const HEAD: &str = "0123456789abcdef0123456789abcdef01234567";

/// One team with a member and a guest.
struct OneTeam;

#[async_trait]
impl Memberships for OneTeam {
    async fn role_of(&self, _: &Ctx, _: &Tx, team: TeamId, user: UserId) -> Result<Option<TeamRole>> {
        Ok(match user.0.as_u128() {
            ADMIN if team == TEAM => Some(TeamRole::Admin),
            MEMBER if team == TEAM => Some(TeamRole::Member),
            GUEST if team == TEAM => Some(TeamRole::Guest),
            _ => None,
        })
    }

    async fn held_role_of(&self, ctx: &Ctx, tx: &Tx, team: TeamId, user: UserId) -> Result<Option<TeamRole>> {
        self.role_of(ctx, tx, team, user).await
    }
}

async fn world() -> Fixture {
    let handlers = JobHandlers::default().with(RepoSyncJob).with(CleanupJob);
    let ports = Ports::default().plug::<dyn Memberships>(Arc::new(OneTeam)).plug(Arc::new(handlers));
    Fixture::new(ports).await
}

fn url(text: &str) -> RepositoryUrl {
    RepositoryUrl::parse(text, &UrlPolicy::default()).unwrap()
}

fn command(name: &str, key: u128) -> CreateProject {
    CreateProject {
        team: TEAM,
        name: Name::parse("name", name).unwrap(),
        repository: Some(url("https://example.org/one.git")),
        idempotency_key: IdempotencyKey(Uuid::from_u128(key)),
    }
}

fn reason<T>(result: Result<T>) -> Reason {
    result.err().expect("it is refused").reason()
}

/// Claims the job as the queue does, so far as the handler sees it.
async fn prepare(world: &Fixture, job: &Job) -> String {
    match RepoSyncJob.prepare(&world.system(), job).await.unwrap() {
        LeasedWork::RepoSync { url, .. } => url,
        other => panic!("{other:?}"),
    }
}

async fn commit(world: &Fixture, job: &Job) {
    commit_head(world, job, HEAD).await;
}

async fn commit_head(world: &Fixture, job: &Job, head: &str) {
    let outcome = SyncOutcome {
        default_branch: Some("main".to_owned()),
        head_commit: Some(head.to_owned()),
        ref_count: 1,
        objects_received: 3,
        bytes_received: 300,
        mirror_bytes: 400,
        unchanged: false,
    };
    let ctx = world.system();
    let tx = ctx.begin().await.unwrap();
    RepoSyncJob.committed(&ctx, &tx, job, Outcome::RepoSync(outcome)).await.unwrap();
    tx.commit().await.unwrap();
}

/// Runs git in the mirror of `project`, as a worker would.
fn git(world: &Fixture, project: &Project, arguments: &[&str], input: &str) -> String {
    let directory = world.base.config.repos_dir().join(project.id.to_string()).join("git");
    config::private_directory(&directory).unwrap();
    let identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"];
    let mut child = Command::new("git")
        .args(identity.iter().chain(arguments))
        .current_dir(&directory)
        .env("GIT_DIR", &directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn give_up(world: &Fixture, job: &Job, reason: Reason) {
    let ctx = world.system();
    let tx = ctx.begin().await.unwrap();
    RepoSyncJob.gave_up(&ctx, &tx, job, reason).await.unwrap();
    tx.commit().await.unwrap();
}

async fn created(world: &Fixture) -> Project {
    ops::create(&world.user(MEMBER), command("Website", 100)).await.unwrap()
}

#[tokio::test]
async fn a_repeated_creation_makes_one_project() {
    let world = world().await;
    let member = world.user(MEMBER);
    let first = created(&world).await;
    assert_eq!(created(&world).await, first);
    assert_eq!(reason(ops::create(&member, command("Other", 100)).await), Reason::IdempotencyKeyReused);
    assert_eq!(reason(ops::create(&member, command("Website", 101)).await), Reason::AlreadyExists);
    assert_eq!(ops::get(&world.user(GUEST), first.id).await.unwrap(), first);
    assert_eq!((first.state, first.head), (MirrorState::Pending, None));
}

#[tokio::test]
async fn strangers_see_nothing_and_guests_change_nothing() {
    let world = world().await;
    let project = created(&world).await;
    let link = url("https://example.org/two.git");
    let (stranger, guest) = (world.user(STRANGER), world.user(GUEST));
    for (caller, expected) in [(&stranger, Reason::NotFound), (&guest, Reason::PermissionDenied)] {
        assert_eq!(reason(ops::create(caller, command("Mine", 7)).await), expected);
        assert_eq!(reason(ops::link(caller, project.id, &link).await), expected);
        assert_eq!(reason(ops::sync(caller, project.id, IdempotencyKey(Uuid::from_u128(8))).await), expected);
        assert_eq!(reason(ops::delete(caller, project.id).await), expected);
    }
    assert_eq!(reason(ops::get(&stranger, project.id).await), Reason::NotFound);
    let page = PageRequest::new(0, String::new());
    assert_eq!(reason(ops::list(&stranger, TEAM, page).await), Reason::NotFound);
    let tx = stranger.read();
    assert_eq!(
        reason(ops::require(&stranger, &tx, project.id, Permission::ReadProject).await),
        Reason::NotFound
    );
}

#[tokio::test]
async fn a_team_has_a_quota_and_its_projects_come_in_pages() {
    let world = world().await;
    let member = world.user(MEMBER);
    for number in 0..u128::from(PROJECTS_MAX) {
        ops::create(&member, command(&format!("P{number}"), 1_000 + number)).await.unwrap();
    }
    assert_eq!(reason(ops::create(&member, command("One more", 99)).await), Reason::QuotaExceeded);
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let page = ops::list(&member, TEAM, PageRequest::new(77, token)).await.unwrap();
        names.extend(page.items.into_iter().map(|project| project.name));
        token = page.next;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(names.len() as u64, PROJECTS_MAX);
    names.dedup();
    assert_eq!(names.len() as u64, PROJECTS_MAX);
}

#[tokio::test]
async fn a_sync_makes_the_mirror_ready() {
    let world = world().await;
    let member = world.user(MEMBER);
    let project = created(&world).await;
    let queued = ops::sync(&member, project.id, IdempotencyKey(Uuid::from_u128(1))).await.unwrap();
    assert!(!queued.joined);
    let job = queued.job;
    for (caller, key) in [(&member, 1), (&world.user(MEMBER), 2)] {
        let again = ops::sync(caller, project.id, IdempotencyKey(Uuid::from_u128(key))).await.unwrap();
        assert_eq!((again.job.id, again.joined), (job.id, true));
    }
    assert_eq!(prepare(&world, &job).await, "https://example.org/one.git");
    commit(&world, &job).await;
    let synced = ops::get(&member, project.id).await.unwrap();
    assert_eq!((synced.state, synced.head), (MirrorState::Ready, CommitId::parse(HEAD)));
    assert_eq!((synced.default_branch.as_str(), synced.mirror_bytes), ("main", 400));

    give_up(&world, &job, Reason::RepositoryUnreachable).await;
    let failed = ops::get(&member, project.id).await.unwrap();
    assert_eq!((failed.state, failed.head), (MirrorState::Failed, CommitId::parse(HEAD)));
}

#[tokio::test]
async fn a_sync_of_what_was_linked_before_changes_nothing() {
    let world = world().await;
    let member = world.user(MEMBER);
    let project = created(&world).await;
    let mut job = ops::sync(&member, project.id, IdempotencyKey(Uuid::from_u128(1))).await.unwrap().job;
    prepare(&world, &job).await;
    let relinked = ops::link(&member, project.id, &url("https://example.org/two.git")).await.unwrap();
    commit(&world, &job).await;
    give_up(&world, &job, Reason::RepositoryUnreachable).await;
    assert_eq!(ops::get(&member, project.id).await.unwrap(), relinked);

    // The same job, claimed anew, fetches what is linked now; the lease before it writes nothing.
    let earlier = job.clone();
    job.lease_epoch += 1;
    assert_eq!(prepare(&world, &job).await, "https://example.org/two.git");
    commit(&world, &earlier).await;
    assert_eq!(ops::get(&member, project.id).await.unwrap().state, MirrorState::Pending);
    commit(&world, &job).await;
    assert_eq!(ops::get(&member, project.id).await.unwrap().state, MirrorState::Ready);
}

#[tokio::test]
async fn a_lease_that_is_over_does_not_hide_the_sync_that_follows_it() {
    let world = world().await;
    let member = world.user(MEMBER);
    let project = created(&world).await;
    let mut stale = ops::sync(&member, project.id, IdempotencyKey(Uuid::from_u128(1))).await.unwrap().job;
    stale.lease_epoch = 1;
    let newer = Job { lease_epoch: 2, ..stale.clone() };
    prepare(&world, &newer).await;
    assert_eq!(reason(RepoSyncJob.prepare(&world.system(), &stale).await), Reason::Conflict);
    commit(&world, &stale).await;
    assert_eq!(ops::get(&member, project.id).await.unwrap().state, MirrorState::Pending);
    commit(&world, &newer).await;
    assert_eq!(ops::get(&member, project.id).await.unwrap().state, MirrorState::Ready);
}

#[tokio::test]
async fn a_cancelled_sync_leaves_the_project_as_it_is() {
    let world = world().await;
    let member = world.user(MEMBER);
    let project = created(&world).await;
    let job = ops::sync(&member, project.id, IdempotencyKey(Uuid::from_u128(1))).await.unwrap().job;
    prepare(&world, &job).await;
    give_up(&world, &job, Reason::Cancelled).await;
    assert_eq!(ops::get(&member, project.id).await.unwrap(), project);
}

#[tokio::test]
async fn a_deleted_project_is_gone_and_its_name_is_free() {
    let world = world().await;
    let member = world.user(MEMBER);
    let project = created(&world).await;
    let job = ops::sync(&member, project.id, IdempotencyKey(Uuid::from_u128(1))).await.unwrap().job;
    ops::delete(&world.user(ADMIN), project.id).await.unwrap();
    ops::delete(&world.user(ADMIN), project.id).await.unwrap();
    assert_eq!(reason(ops::delete(&member, project.id).await), Reason::PermissionDenied);
    assert_eq!(reason(ops::delete(&world.user(STRANGER), project.id).await), Reason::NotFound);
    assert_eq!(reason(ops::get(&member, project.id).await), Reason::NotFound);
    assert_eq!(reason(ops::create(&member, command("Website", 100)).await), Reason::NotFound);
    ops::create(&member, command("Website", 101)).await.unwrap();

    let sync = jobs::find(&member.read(), job.id).await.unwrap().unwrap();
    assert_eq!(sync.state, JobState::Cancelled);
    assert_eq!(reason(RepoSyncJob.prepare(&world.system(), &job).await), Reason::NotFound);
    commit(&world, &job).await;
    assert_eq!(reason(ops::get(&member, project.id).await), Reason::NotFound);
}

#[tokio::test]
async fn a_cleanup_names_the_mirrors_to_remove() {
    let world = world().await;
    let member = world.user(MEMBER);
    let project = created(&world).await;
    let mut job = ops::sync(&member, project.id, IdempotencyKey(Uuid::from_u128(1))).await.unwrap().job;
    assert!(CleanupJob.prepare(&world.system(), &job).await.is_err());
    job.work = Work::Cleanup { projects: vec![project.id] };
    match CleanupJob.prepare(&world.system(), &job).await.unwrap() {
        LeasedWork::Cleanup { projects } => assert_eq!(projects, [project.id]),
        other => panic!("{other:?}"),
    }
}

/// The removal of a mirror that waits in the queue, if there is one.
async fn waiting_cleanup(world: &Fixture, project: &Project) -> Option<Job> {
    let ctx = world.system();
    let sql = "SELECT id FROM jobs WHERE kind = 3 AND state = 1 AND project_id = $1";
    let query = Statement::from_sql_and_values(ctx.read().backend(), sql, [project.id.into()]);
    let rows = ctx.read().sql().query_all_raw(query).await.unwrap();
    assert!(rows.len() <= 1);
    let id: Uuid = rows.first()?.try_get("", "id").unwrap();
    jobs::find(&ctx.read(), id.into()).await.unwrap()
}

#[tokio::test]
async fn a_mirror_whose_removal_was_given_up_is_removed_later() {
    let world = world().await;
    let ctx = world.system();
    let project = created(&world).await;
    ops::sweep(&ctx).await.unwrap();
    ops::delete(&world.user(ADMIN), project.id).await.unwrap();
    for _ in 0..2 {
        let cleanup = waiting_cleanup(&world, &project).await.unwrap();
        world.execute("UPDATE jobs SET state = 5 WHERE kind = 3").await;
        let tx = ctx.begin().await.unwrap();
        CleanupJob.gave_up(&ctx, &tx, &cleanup, Reason::Internal).await.unwrap();
        tx.commit().await.unwrap();
        ops::sweep(&ctx).await.unwrap();
        assert!(waiting_cleanup(&world, &project).await.is_none());
        world.base.clock.advance(Duration::from_secs(60 * 60));
        ops::sweep(&ctx).await.unwrap();
        ops::sweep(&ctx).await.unwrap();
    }
    let cleanup = waiting_cleanup(&world, &project).await.unwrap();
    world.execute("UPDATE jobs SET state = 4 WHERE kind = 3").await;
    let tx = ctx.begin().await.unwrap();
    let outcome = Outcome::Cleanup(CleanupOutcome { mirrors_removed: 1, bytes_freed: 1 });
    CleanupJob.committed(&ctx, &tx, &cleanup, outcome).await.unwrap();
    tx.commit().await.unwrap();
    world.base.clock.advance(Duration::from_secs(2 * 60 * 60));
    ops::sweep(&ctx).await.unwrap();
    assert!(waiting_cleanup(&world, &project).await.is_none());

    // A worker that was held up makes it anew.
    let kept = ops::create(&world.user(MEMBER), command("Kept", 101)).await.unwrap();
    for mirror in [&project, &kept] {
        std::fs::create_dir(world.base.config.repos_dir().join(mirror.id.to_string())).unwrap();
    }
    for _ in 0..256 {
        world.base.clock.advance(Duration::from_secs(60));
        ops::sweep(&ctx).await.unwrap();
    }
    assert!(waiting_cleanup(&world, &project).await.is_some());
    assert!(waiting_cleanup(&world, &kept).await.is_none());
}

#[tokio::test]
async fn a_project_without_a_repository_cannot_be_synced_or_read() {
    let world = world().await;
    let member = world.user(MEMBER);
    let project =
        ops::create(&member, CreateProject { repository: None, ..command("Empty", 5) }).await.unwrap();
    assert_eq!(project.state, MirrorState::Unlinked);
    let refused = ops::sync(&member, project.id, IdempotencyKey(Uuid::from_u128(1))).await;
    assert_eq!(reason(refused), Reason::RepositoryNotReady);
    assert_eq!(reason(project.commit_to_read(CommitId::parse(HEAD))), Reason::RepositoryNotReady);
}

#[tokio::test]
async fn members_read_the_mirror_page_by_page() {
    let world = world().await;
    let member = world.user(MEMBER);
    let mirrors = Mirrors::new(world.base.config.repos_dir(), world.base.tasks.clone());
    let project = created(&world).await;
    git(&world, &project, &["init", "--quiet", "--bare", "--template="], "");
    let blob = git(&world, &project, &["hash-object", "-w", "--stdin"], "content");
    let entries: String = (0..5).map(|number| format!("100644 blob {blob}\tf{number}\n")).collect();
    let tree = git(&world, &project, &["mktree"], &entries);
    let head = git(&world, &project, &["commit-tree", "-m", "c", &tree], "");

    let list = |token: String| ListTree {
        project: project.id,
        commit: None,
        directory: None,
        recursive: false,
        page: PageRequest::new(3, token),
    };
    let read = ReadFile {
        project: project.id,
        commit: None,
        path: RepositoryPath::parse("f0").unwrap(),
        offset: 2,
        length: 3,
    };
    let unsynced = ops::list_tree(&member, &mirrors, list(String::new())).await;
    assert_eq!(reason(unsynced), Reason::RepositoryNotReady);
    let job = ops::sync(&member, project.id, IdempotencyKey(Uuid::from_u128(1))).await.unwrap().job;
    prepare(&world, &job).await;
    commit_head(&world, &job, &head).await;

    let first = ops::list_tree(&member, &mirrors, list(String::new())).await.unwrap();
    assert_eq!((first.entries.len(), first.commit), (3, CommitId::parse(&head).unwrap()));
    let second = ops::list_tree(&member, &mirrors, list(first.next.clone())).await.unwrap();
    let names: Vec<_> = second.entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!((names, second.next.as_str()), (vec!["f3", "f4"], ""));
    let elsewhere = ListTree { recursive: true, ..list(first.next.clone()) };
    assert_eq!(reason(ops::list_tree(&member, &mirrors, elsewhere).await), Reason::InvalidPageToken);
    let guest = ops::list_tree(&world.user(GUEST), &mirrors, list(first.next)).await;
    assert_eq!(reason(guest), Reason::InvalidPageToken);

    let (header, chunks) = ops::read_file(&world.user(GUEST), &mirrors, read.clone()).await.unwrap();
    let chunks: Vec<_> = chunks.map(Result::unwrap).collect().await;
    assert_eq!((chunks, header.size), (vec![bytes::Bytes::from_static(b"nte")], 7));
    let stranger = ops::read_file(&world.user(STRANGER), &mirrors, read).await;
    assert_eq!(reason(stranger), Reason::NotFound);
}
