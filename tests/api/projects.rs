//! Projects: linking a repository, syncing its mirror, and reading it.

use hivesync::{
    ErrorReason,
    auth::Platform,
    jobs::JobState,
    page::PageRequest,
    projects::{FileQuery, MirrorState, TreeEntryKind, TreeQuery},
    teams::TeamRole,
};
use hivesync_proto::v1::{self as pb, ErrorReason as Reason};
use hivesync_tests::{on_each_backend, repository::Repository, wire::refused, world::World};
use uuid::Uuid;

on_each_backend!(
    a_repository_is_linked_synced_and_read,
    a_sync_follows_the_repository,
    a_branch_may_be_called_anything,
    creating_twice_with_one_key_creates_once,
    names_are_unique_in_a_team,
    bad_addresses_are_refused,
    bad_paths_are_refused,
    commits_are_listed_page_by_page,
    a_log_is_for_the_team_only,
    a_hostile_commit_is_shown_harmless,
    a_sync_that_waits_is_joined,
    links_and_submodules_are_shown_and_never_followed,
    hooks_of_a_repository_never_run,
    a_broken_pack_is_refused,
    a_failed_sync_leaves_the_mirror_as_it_was,
    projects_of_others_are_not_there,
    page_tokens_are_good_for_their_list_only,
    a_deleted_project_is_gone,
);

async fn a_repository_is_linked_synced_and_read(world: World) {
    let ada = world.user("ada").await;
    let repository = Repository::sample();
    let project = ada.project("site", &repository).await;
    assert_eq!(project.mirror_state, MirrorState::Pending);
    let job = ada.sync(project.id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");

    let project = ada.client.projects().get(project.id).await.unwrap();
    assert_eq!(project.mirror_state, MirrorState::Ready);
    assert_eq!(project.head_commit.as_deref(), Some(repository.head().as_str()));
    assert_eq!(project.default_branch.as_deref(), Some("main"));

    let query = TreeQuery { recursive: true, ..TreeQuery::default() };
    let tree = ada.client.projects().tree(project.id, &query, PageRequest::first()).await.unwrap();
    let paths: Vec<&str> = tree.page.items.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["app/logo.bin", "app/main.js", "index.html"]);

    let file =
        ada.client.projects().read_file(project.id, "app/logo.bin", FileQuery::default()).await.unwrap();
    assert!(file.header().binary);
    assert_eq!(file.read_all(1024).await.unwrap().as_ref(), [0, 1, 2, 3, 255, 254]);
    let part = FileQuery { offset: 2, length: 2, ..FileQuery::default() };
    let file = ada.client.projects().read_file(project.id, "app/logo.bin", part).await.unwrap();
    assert_eq!(file.read_all(1024).await.unwrap().as_ref(), [2, 3]);
}

async fn a_sync_follows_the_repository(world: World) {
    let ada = world.user("ada").await;
    let repository = Repository::sample();
    let project = ada.project("site", &repository).await;
    ada.sync(project.id).await;
    let first = repository.head();
    repository.write("index.html", b"second");
    let second = repository.commit("Change");
    ada.sync(project.id).await;
    let now = ada.client.projects().get(project.id).await.unwrap();
    assert_eq!(now.head_commit.as_deref(), Some(second.as_str()));
    // An older commit can still be read.
    let query = FileQuery { commit: Some(first), ..FileQuery::default() };
    let file = ada.client.projects().read_file(project.id, "index.html", query).await.unwrap();
    assert_ne!(file.read_all(1024).await.unwrap().as_ref(), b"second");
    // Of what is linked no more, none can.
    let other = Repository::sample();
    other.write("index.html", b"other");
    other.commit("Start");
    ada.client.projects().link(project.id, &other.url()).await.unwrap();
    assert_eq!(ada.sync(project.id).await.state, JobState::Succeeded);
    let query = FileQuery { commit: Some(second), ..FileQuery::default() };
    let former = ada.client.projects().read_file(project.id, "index.html", query).await;
    assert_eq!(former.err().expect("refused").reason(), Some(ErrorReason::NotFound));
}

async fn a_branch_may_be_called_anything(world: World) {
    let ada = world.user("ada").await;
    for (name, shown) in [("e\u{301}", "e\u{301}"), ("a\u{202e}b", "a\u{fffd}b")] {
        let repository = Repository::sample();
        repository.git(&["branch", "-m", name]);
        let project = ada.project(shown.get(..1).unwrap(), &repository).await;
        assert_eq!(ada.sync(project.id).await.state, JobState::Succeeded, "{name:?}");
        let project = ada.client.projects().get(project.id).await.unwrap();
        assert_eq!(project.default_branch.as_deref(), Some(shown));
    }
}

async fn creating_twice_with_one_key_creates_once(world: World) {
    let ada = world.caller("ada").await;
    let request = pb::CreateProjectRequest {
        team_id: ada.team_id.clone(),
        name: "site".to_owned(),
        repository_url: String::new(),
        idempotency_key: Uuid::new_v4().to_string(),
    };
    let create = "hivesync.v1.ProjectService/CreateProject";
    let first: pb::Project = ada.get(create, request.clone()).await;
    let again: pb::Project = ada.get(create, request.clone()).await;
    assert_eq!(first.id, again.id);
    let other = pb::CreateProjectRequest { name: "other".to_owned(), ..request };
    let refusal = refused(ada.call::<_, pb::Project>(create, other).await);
    assert_eq!(refusal.reason, Reason::IdempotencyKeyReused);
}

async fn names_are_unique_in_a_team(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let projects = ada.client.projects();
    projects.create(ada.me.personal_team_id, "site", None).await.unwrap();
    let refusal = projects.create(ada.me.personal_team_id, "site", None).await.unwrap_err();
    assert_eq!(refusal.reason(), Some(ErrorReason::AlreadyExists));
    bob.client.projects().create(bob.me.personal_team_id, "site", None).await.unwrap();
}

async fn bad_addresses_are_refused(world: World) {
    let ada = world.caller("ada").await;
    let project = ada.project("site", "").await;
    let bad = [
        "https://ada:secret@git.example.com/site",
        "https://ada@git.example.com/site",
        "ext::sh -c touch% /tmp/x",
        "--upload-pack=touch /tmp/x",
        "https://git.example.com/-x/site",
        "https://git.example.com/site%0aHost:%20evil",
        "https://127.0.0.1/site",
        "https://[::1]/site",
        "https://localhost/site",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:169.254.169.254]/site",
        "https://2130706433/site",
        "https://0x7f.1/site",
        "http://git.example.com/site",
        "git://git.example.com/site",
        "git@git.example.com:site.git",
        "ssh://git@git.example.com/site",
        "ssh://-oProxyCommand=touch/site",
        "https://git.example.com/site?a=b",
        "https://git.example.com/site#fragment",
        "https://git.example.com:1/site",
        "../site",
        "/etc/passwd",
    ];
    for url in bad {
        let link =
            pb::LinkRepositoryRequest { project_id: project.id.clone(), repository_url: url.to_owned() };
        let outcome = ada.call::<_, pb::Project>("hivesync.v1.ProjectService/LinkRepository", link).await;
        let refusal = refused(outcome);
        assert_eq!(refusal.reason, Reason::InvalidRepositoryUrl, "{url}");
        assert!(!refusal.text.contains("secret"), "{}", refusal.text);
    }
    // A control character breaks the contract's own rule, before anybody takes it for an address.
    let url = "https://git.example.com/site\nHost: evil".to_owned();
    let link = pb::LinkRepositoryRequest { project_id: project.id.clone(), repository_url: url };
    let outcome = ada.call::<_, pb::Project>("hivesync.v1.ProjectService/LinkRepository", link).await;
    assert_eq!(refused(outcome).reason, Reason::InvalidRequest);
    let same: pb::Project = ada
        .get("hivesync.v1.ProjectService/GetProject", pb::GetProjectRequest { project_id: project.id })
        .await;
    assert_eq!(same.repository_url, "");
}

async fn bad_paths_are_refused(world: World) {
    let ada = world.caller("ada").await;
    let repository = Repository::sample();
    let project = ada.project("site", &repository.url()).await;
    sync(&ada, &project.id).await;
    for path in crate::BAD_PATHS {
        let request = pb::ReadFileRequest {
            project_id: project.id.clone(),
            path: path.to_owned(),
            ..Default::default()
        };
        let outcome =
            ada.call::<_, pb::ReadFileResponse>("hivesync.v1.ProjectService/ReadFile", request).await;
        let refusal = refused(outcome);
        assert!(
            matches!(refusal.reason, Reason::InvalidPath | Reason::InvalidRequest),
            "{path:?}: {refusal:?}"
        );
        let request = pb::ListTreeRequest {
            project_id: project.id.clone(),
            path: path.to_owned(),
            ..Default::default()
        };
        if !path.is_empty() {
            let outcome =
                ada.call::<_, pb::ListTreeResponse>("hivesync.v1.ProjectService/ListTree", request).await;
            let refusal = refused(outcome);
            assert!(
                matches!(refusal.reason, Reason::InvalidPath | Reason::InvalidRequest),
                "{path:?}: {refusal:?}"
            );
        }
    }
    for commit in ["HEAD", "main", "../../etc", &"g".repeat(40), "--output=/tmp/x"] {
        let request = pb::ReadFileRequest {
            project_id: project.id.clone(),
            path: "index.html".to_owned(),
            commit: commit.to_owned(),
            ..Default::default()
        };
        let outcome =
            ada.call::<_, pb::ReadFileResponse>("hivesync.v1.ProjectService/ReadFile", request).await;
        assert_eq!(refused(outcome).reason, Reason::InvalidRequest, "{commit}");
    }
}

/// Queues a sync and waits for its end by asking, as a client without streams would.
async fn sync(caller: &hivesync_tests::caller::Caller, project_id: &str) -> pb::Job {
    let request = pb::SyncRepositoryRequest {
        project_id: project_id.to_owned(),
        idempotency_key: Uuid::new_v4().to_string(),
    };
    let mut job: pb::Job = caller.get("hivesync.v1.ProjectService/SyncRepository", request).await;
    for _ in 0..600 {
        if job.finished_at.is_some() {
            return job;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        job = caller.get("hivesync.v1.JobService/GetJob", pb::GetJobRequest { job_id: job.id }).await;
    }
    panic!("the job did not end: {job:?}");
}

const LOG: &str = "hivesync.v1.ProjectService/ListCommits";

async fn commits_are_listed_page_by_page(world: World) {
    let ada = world.caller("ada").await;
    let repository = Repository::sample();
    for number in 1..=4 {
        repository.commit(&format!("Change {number}\n\nBecause of {number}."));
    }
    let project_id = ada.project("site", &repository.url()).await.id;
    let first = pb::ListCommitsRequest { project_id: project_id.clone(), page_size: 2, ..Default::default() };
    let unsynced = refused(ada.call::<_, pb::ListCommitsResponse>(LOG, first.clone()).await);
    assert_eq!(unsynced.reason, Reason::RepositoryNotReady);
    sync(&ada, &project_id).await;

    let page: pb::ListCommitsResponse = ada.get(LOG, first.clone()).await;
    assert_eq!((page.commit.as_str(), page.truncated), (repository.head().as_str(), false));
    let newest = &page.commits[0];
    assert_eq!((newest.id.as_str(), newest.subject.as_str()), (page.commit.as_str(), "Change 4"));
    assert_eq!((newest.body.as_str(), newest.author_name.as_str()), ("Because of 4.", "Ada"));
    assert_eq!(newest.authored_at.map(|at| at.seconds), Some(1_700_000_000));
    assert_eq!(newest.parent_ids, [page.commits[1].id.as_str()]);

    // What is committed meanwhile changes nothing about the pages that follow.
    let (token, commit) = (page.next_page_token.clone(), page.commit.clone());
    repository.commit("Change 5");
    sync(&ada, &project_id).await;
    let next = pb::ListCommitsRequest { commit, page_token: token.clone(), ..first.clone() };
    let second: pb::ListCommitsResponse = ada.get(LOG, next.clone()).await;
    let last = pb::ListCommitsRequest { page_token: second.next_page_token.clone(), ..next.clone() };
    let last: pb::ListCommitsResponse = ada.get(LOG, last).await;
    let told = [page.commits, second.commits, last.commits].concat();
    let subjects: Vec<&str> = told.iter().map(|commit| commit.subject.as_str()).collect();
    assert_eq!(subjects, ["Change 4", "Change 3", "Change 2", "Change 1", "Begin"]);
    assert_eq!(last.next_page_token, "");

    let elsewhere = pb::ListCommitsRequest { page_token: token.clone(), ..first.clone() };
    let changed = pb::ListCommitsRequest { page_token: format!("{token}A"), ..next.clone() };
    for request in [elsewhere, changed] {
        let outcome = ada.call::<_, pb::ListCommitsResponse>(LOG, request).await;
        assert_eq!(refused(outcome).reason, Reason::InvalidPageToken);
    }
    let wrong = [
        pb::ListCommitsRequest { commit: "HEAD".to_owned(), ..first.clone() },
        pb::ListCommitsRequest { commit: "--all".to_owned(), ..first.clone() },
        pb::ListCommitsRequest { page_size: 201, ..first.clone() },
        pb::ListCommitsRequest { project_id: "site".to_owned(), ..first.clone() },
    ];
    for request in wrong {
        let outcome = ada.call::<_, pb::ListCommitsResponse>(LOG, request).await;
        assert_eq!(refused(outcome).reason, Reason::InvalidRequest);
    }
    for commit in ["1".repeat(40), repository.git(&["rev-parse", "HEAD^{tree}"])] {
        let request = pb::ListCommitsRequest { commit, ..first.clone() };
        let outcome = ada.call::<_, pb::ListCommitsResponse>(LOG, request).await;
        assert_eq!(refused(outcome).reason, Reason::NotFound);
    }
}

async fn a_log_is_for_the_team_only(world: World) {
    let (ada, guest, eve) = (world.user("ada").await, world.user("guest").await, world.user("eve").await);
    let team = ada.client.teams().create("Engines").await.unwrap().id;
    world.enlist(&ada, team, &guest, TeamRole::Guest).await;
    let repository = Repository::sample();
    let project = ada.client.projects().create(team, "site", Some(&repository.url())).await.unwrap().id;
    ada.sync(project).await;
    let log = guest.client.projects().commits(project, None, PageRequest::first()).await.unwrap();
    assert_eq!(log.page.items.len(), 1);
    let refusal = eve.client.projects().commits(project, None, PageRequest::first()).await.unwrap_err();
    assert_eq!(refusal.reason(), Some(ErrorReason::NotFound));
}

async fn a_hostile_commit_is_shown_harmless(world: World) {
    let ada = world.user("ada").await;
    let repository = Repository::sample();
    let huge = [b"Huge\n\n".as_slice(), &vec![b'x'; 1024 * 1024]].concat();
    repository.commit_as(b"Mallory", &huge);
    repository.commit_as(
        b"M\xe4llory \x1b[31m\xe2\x80\xaeevil",
        b"\x1b]0;owned\x07Hi\xff\rBye\n\n\x9b2J\xc2\x9b2J",
    );
    let project = ada.project("site", &repository).await.id;
    let job = ada.sync(project).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    let log = ada.client.projects().commits(project, None, PageRequest::first()).await.unwrap();
    let [hostile, huge, _] = log.page.items.as_slice() else { panic!("{log:?}") };
    assert_eq!(hostile.author_name, "M\u{fffd}llory \u{fffd}[31m\u{fffd}evil");
    assert_eq!(hostile.subject, "\u{fffd}]0;owned\u{fffd}Hi\u{fffd}\u{fffd}Bye");
    assert_eq!(hostile.body, "\u{fffd}2J\u{fffd}2J");
    assert_eq!((huge.subject.as_str(), huge.body.len(), huge.shortened), ("Huge", 2_000, true));
}

async fn a_sync_that_waits_is_joined(world: World) {
    let backend = world.backend();
    drop(world);
    let world = World::without_worker(backend, &[]).await;
    let ada = world.user("ada").await;
    let phone = world.device_of(&ada, "phone", Platform::Ios).await;
    let project = ada.project("site", &Repository::sample()).await.id;
    let started = ada.client.projects().sync(project).await.unwrap();
    let joined = phone.client.projects().sync(project).await.unwrap();
    assert_eq!((joined.id, started.joined, joined.joined), (started.id, false, true));
    assert!(!ada.client.jobs().get(started.id).await.unwrap().joined);
}

async fn links_and_submodules_are_shown_and_never_followed(world: World) {
    let ada = world.user("ada").await;
    let repository = Repository::sample();
    repository.commit_entry("120000", "link", b"/etc/passwd");
    repository.commit_entry("160000", "module", b"");
    let project = ada.project("site", &repository).await;
    let job = ada.sync(project.id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    let tree =
        ada.client.projects().tree(project.id, &TreeQuery::default(), PageRequest::first()).await.unwrap();
    let kind = |path: &str| tree.page.items.iter().find(|entry| entry.path == path).map(|entry| entry.kind);
    assert_eq!(kind("link"), Some(TreeEntryKind::Symlink));
    assert_eq!(kind("module"), Some(TreeEntryKind::Submodule));
    let file = ada.client.projects().read_file(project.id, "link", FileQuery::default()).await.unwrap();
    assert_eq!(file.read_all(1024).await.unwrap().as_ref(), b"/etc/passwd");
    let below = ada.client.projects().read_file(project.id, "link/passwd", FileQuery::default()).await;
    assert!(below.is_err());
}

async fn hooks_of_a_repository_never_run(world: World) {
    let ada = world.user("ada").await;
    let repository = Repository::sample();
    let mark = world.directory().join("a-hook-ran");
    for hook in
        ["post-checkout", "post-merge", "reference-transaction", "pre-auto-gc", "post-update", "pre-upload"]
    {
        let script = format!("#!/bin/sh\ntouch '{}'\n", mark.display());
        let path = repository.write(&format!(".git/hooks/{hook}"), script.as_bytes());
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    repository.git(&["config", "core.fsmonitor", &format!("touch '{}'", mark.display())]);
    repository.git(&["config", "uploadpack.packObjectsHook", &format!("touch '{}'", mark.display())]);
    let project = ada.project("site", &repository).await;
    let job = ada.sync(project.id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    assert!(!mark.exists(), "something of the repository was run");
}

async fn a_broken_pack_is_refused(world: World) {
    let ada = world.user("ada").await;
    let repository = Repository::sample();
    repository.break_pack();
    let project = ada.project("site", &repository).await;
    let job = ada.sync(project.id).await;
    assert_eq!(job.state, JobState::Failed, "{job:?}");
    let project = ada.client.projects().get(project.id).await.unwrap();
    assert_eq!((project.mirror_state, project.head_commit), (MirrorState::Failed, None));
}

async fn a_failed_sync_leaves_the_mirror_as_it_was(world: World) {
    let ada = world.user("ada").await;
    let repository = Repository::sample();
    let project = ada.project("site", &repository).await;
    ada.sync(project.id).await;
    let good = repository.head();
    // git refuses to keep an entry that would be written into its own directory.
    repository.commit_entry("100644", ".git", b"[core]");
    let job = ada.sync(project.id).await;
    assert_eq!(job.state, JobState::Failed, "{job:?}");
    assert_eq!(job.failure, Some(ErrorReason::RepositoryRejected));
    let project = ada.client.projects().get(project.id).await.unwrap();
    assert_eq!(project.mirror_state, MirrorState::Failed);
    assert_eq!(project.head_commit.as_deref(), Some(good.as_str()));
    let file = ada.client.projects().read_file(project.id, "index.html", FileQuery::default()).await.unwrap();
    assert!(file.read_all(1024).await.unwrap().starts_with(b"<!doctype"));
}

async fn projects_of_others_are_not_there(world: World) {
    let (ada, eve) = (world.user("ada").await, world.user("eve").await);
    let repository = Repository::sample();
    let theirs = ada.project("site", &repository).await.id;
    ada.sync(theirs).await;
    let projects = eve.client.projects();
    for project in [theirs, Uuid::now_v7()] {
        for outcome in [
            projects.get(project).await.map(drop),
            projects.link(project, "https://git.example.com/site").await.map(drop),
            projects.sync(project).await.map(drop),
            projects.delete(project).await,
            projects.tree(project, &TreeQuery::default(), PageRequest::first()).await.map(drop),
            projects.read_file(project, "index.html", FileQuery::default()).await.map(drop),
            eve.client.previews().list(project, PageRequest::first()).await.map(drop),
            eve.publish(project, &[("index.html", b"x")]).await.map(drop),
        ] {
            assert_eq!(outcome.unwrap_err().reason(), Some(ErrorReason::NotFound));
        }
    }
}

async fn page_tokens_are_good_for_their_list_only(world: World) {
    let ada = world.caller("ada").await;
    for name in ["one", "two", "three"] {
        ada.project(name, "").await;
    }
    let list = "hivesync.v1.ProjectService/ListProjects";
    let first =
        pb::ListProjectsRequest { team_id: ada.team_id.clone(), page_size: 2, page_token: String::new() };
    let page: pb::ListProjectsResponse = ada.get(list, first.clone()).await;
    assert_eq!(page.projects.len(), 2);
    let rest = pb::ListProjectsRequest { page_token: page.next_page_token.clone(), ..first.clone() };
    let rest: pb::ListProjectsResponse = ada.get(list, rest).await;
    assert_eq!((rest.projects.len(), rest.next_page_token.as_str()), (1, ""));

    // Elsewhere, by somebody else, or changed, it is refused.
    let members = pb::ListMembersRequest {
        team_id: ada.team_id.clone(),
        page_size: 2,
        page_token: page.next_page_token.clone(),
    };
    let outcome =
        ada.call::<_, pb::ListMembersResponse>("hivesync.v1.TeamService/ListMembers", members).await;
    assert_eq!(refused(outcome).reason, Reason::InvalidPageToken);
    let eve = world.caller("eve").await;
    let theirs = pb::ListProjectsRequest {
        team_id: eve.team_id.clone(),
        page_size: 2,
        page_token: page.next_page_token.clone(),
    };
    let outcome = eve.call::<_, pb::ListProjectsResponse>(list, theirs).await;
    assert_eq!(refused(outcome).reason, Reason::InvalidPageToken);
    for token in ["x", "AAAA", &format!("{}A", page.next_page_token), &page.next_page_token[1..]] {
        let request = pb::ListProjectsRequest { page_token: token.to_owned(), ..first.clone() };
        let outcome = ada.call::<_, pb::ListProjectsResponse>(list, request).await;
        assert_eq!(refused(outcome).reason, Reason::InvalidPageToken, "{token}");
    }
}

async fn a_deleted_project_is_gone(world: World) {
    let ada = world.user("ada").await;
    let repository = Repository::sample();
    let project = ada.project("site", &repository).await.id;
    ada.sync(project).await;
    ada.client.projects().delete(project).await.unwrap();
    let refusal = ada.client.projects().get(project).await.unwrap_err();
    assert_eq!(refusal.reason(), Some(ErrorReason::NotFound));
    assert!(ada.client.projects().sync(project).await.is_err());
}
