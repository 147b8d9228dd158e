import Foundation
import HiveSyncFFI

// The calls of the binding that take a `CancelHandle`, without it: each ends in Rust too when its task is cancelled.

extension HiveSync {
    /// Creates an account. The answer does not tell whether the address had one already.
    public func register(credentials: Credentials, displayName: String) async throws {
        try await cancellable { try await register(credentials: credentials, displayName: displayName, cancel: $0) }
    }

    /// Signs in, in place of whoever was signed in with this client.
    @discardableResult
    public func signIn(credentials: Credentials) async throws -> Account {
        try await cancellable { try await signIn(credentials: credentials, cancel: $0) }
    }

    /// Signs out; `everywhere` ends the user's sessions on other devices too. This client forgets the session
    /// even if the server cannot be told.
    public func signOut(everywhere: Bool = false) async throws {
        try await cancellable { try await signOut(everywhere: everywhere, cancel: $0) }
    }

    /// Asks for a job to be stopped. A running one is `Cancelling` until its worker has confirmed.
    @discardableResult
    public func cancelJob(jobId: String) async throws -> Job {
        try await cancellable { try await cancelJob(jobId: jobId, cancel: $0) }
    }

    /// One job.
    public func getJob(jobId: String) async throws -> Job {
        try await cancellable { try await getJob(jobId: jobId, cancel: $0) }
    }

    /// A page of a team's jobs, newest first; only those about a project if one is named. At most 200, and as
    /// many as the server likes if `size` is 0.
    public func listJobs(
        teamId: String, projectId: String? = nil, size: UInt32 = 0, token: String? = nil
    ) async throws -> JobPage {
        try await cancellable {
            try await listJobs(
                teamId: teamId, projectId: projectId, size: size, token: token, cancel: $0)
        }
    }

    /// A page of the user's notifications, newest first; at most 200, and as many as the server likes if
    /// `size` is 0.
    public func listNotifications(
        unreadOnly: Bool = false, size: UInt32 = 0, token: String? = nil
    ) async throws -> NotificationPage {
        try await cancellable {
            try await listNotifications(
                unreadOnly: unreadOnly, size: size, token: token, cancel: $0)
        }
    }

    /// Marks all notifications up to and with `sequence` as read; gives how many are still unread.
    @discardableResult
    public func markNotificationsRead(sequence: UInt64) async throws -> UInt32 {
        try await cancellable { try await markNotificationsRead(sequence: sequence, cancel: $0) }
    }

    /// Opens a preview on this device. Its files are fetched by what this returns.
    public func openPreview(token: PreviewToken) async throws -> OpenPreview {
        try await cancellable { try await openPreview(token: token, cancel: $0) }
    }

    /// Creates a project in a team, with or without a repository. Its name has 1 to 100 characters and is
    /// unique in the team.
    @discardableResult
    public func createProject(teamId: String, name: String, repositoryUrl: String? = nil) async throws -> Project {
        try await cancellable {
            try await createProject(
                teamId: teamId, name: name, repositoryUrl: repositoryUrl, cancel: $0)
        }
    }

    /// Deletes a project with its mirror and its previews.
    public func deleteProject(projectId: String) async throws {
        try await cancellable { try await deleteProject(projectId: projectId, cancel: $0) }
    }

    /// One project.
    public func getProject(projectId: String) async throws -> Project {
        try await cancellable { try await getProject(projectId: projectId, cancel: $0) }
    }

    /// Links a repository to a project, or another one.
    @discardableResult
    public func linkRepository(projectId: String, repositoryUrl: String) async throws -> Project {
        try await cancellable {
            try await linkRepository(
                projectId: projectId, repositoryUrl: repositoryUrl, cancel: $0)
        }
    }

    /// A page of a team's projects, oldest first; at most 200, and as many as the server likes if `size` is
    /// 0.
    public func listProjects(teamId: String, size: UInt32 = 0, token: String? = nil) async throws -> ProjectPage {
        try await cancellable { try await listProjects(teamId: teamId, size: size, token: token, cancel: $0) }
    }

    /// A page of a directory of a mirror, at most 1,000 entries: the root if `path` is empty, of the head of
    /// the default branch unless a `commit` (40 hexadecimal digits) is named. `recursive` lists everything
    /// below it that is not a directory.
    public func listTree(
        projectId: String, path: String = "", commit: String? = nil, recursive: Bool = false, size: UInt32 = 0,
        token: String? = nil
    ) async throws -> TreePage {
        try await cancellable {
            try await listTree(
                projectId: projectId, path: path, commit: commit, recursive: recursive, size: size, token: token,
                cancel: $0)
        }
    }

    /// Reads a file of a mirror, or `length` bytes of it from `offset` on; a length of 0 means to the end. At
    /// most 8 MiB at a time.
    public func readFile(
        projectId: String, path: String, commit: String? = nil, offset: UInt64 = 0, length: UInt64 = 0
    ) async throws -> FileContent {
        try await cancellable {
            try await readFile(
                projectId: projectId, path: path, commit: commit, offset: offset, length: length, cancel: $0)
        }
    }

    /// Queues a sync of a mirror. Gives the job to watch, which is the one that waits already if there is
    /// one.
    public func syncRepository(projectId: String) async throws -> Job {
        try await cancellable { try await syncRepository(projectId: projectId, cancel: $0) }
    }

    /// One preview.
    public func getPreview(previewId: String) async throws -> Preview {
        try await cancellable { try await getPreview(previewId: previewId, cancel: $0) }
    }

    /// A page of a project's previews, newest first; at most 200, and as many as the server likes if `size`
    /// is 0.
    public func listPreviews(projectId: String, size: UInt32 = 0, token: String? = nil) async throws -> PreviewPage {
        try await cancellable { try await listPreviews(projectId: projectId, size: size, token: token, cancel: $0) }
    }

    /// Ends a preview at once.
    @discardableResult
    public func revokePreview(previewId: String) async throws -> Preview {
        try await cancellable { try await revokePreview(previewId: previewId, cancel: $0) }
    }

    /// A page of the user's teams, oldest first; at most 200, and as many as the server likes if `size` is 0.
    public func listTeams(size: UInt32 = 0, token: String? = nil) async throws -> TeamPage {
        try await cancellable { try await listTeams(size: size, token: token, cancel: $0) }
    }

    /// The user's account, from the server.
    public func me() async throws -> User {
        try await cancellable { try await me(cancel: $0) }
    }
}

extension OpenPreview {
    /// Fetches one file into memory and verifies it.
    public func read(path: String) async throws -> Data {
        try await cancellable { try await read(path: path, cancel: $0) }
    }

    /// Fetches all files, verifies each, and puts them into a new directory, which appears only when
    /// everything is right.
    @discardableResult
    public func saveTo(directory: String) async throws -> OpenStats {
        try await cancellable { try await saveTo(directory: directory, cancel: $0) }
    }
}
