import Foundation
import HiveSync

/// A client that acts, and what it remembers.
final class Actor {
    let client: HiveSync
    var session: Account?
    var events: Updates<NotificationEvent>.Iterator?

    init(_ client: HiveSync) {
        self.client = client
    }
}

final class Scenario {
    private let email: String
    private let password: String
    private let downloads = URL(fileURLWithPath: (try? setting("DOWNLOADS")) ?? "")
    private var actors: [String: Actor] = [:]
    private var projectId = ""
    private var synced: Job?
    private var published: Published?

    init(email: String, password: String) {
        self.email = email
        self.password = password
    }

    /// Does a step.
    func outcome(of step: Object) async throws -> Object {
        do {
            if try step.text("do") == "ask" { return try ask(step.text("what")) }
            return try await act(actor(step.text("as")), step)
        } catch let error as HiveSyncError {
            return ["error": error.details.code, "reason": error.details.reason ?? NSNull()]
        }
    }

    private func act(_ actor: Actor, _ step: Object) async throws -> Object {
        let client = actor.client
        switch try step.text("do") {
        case "register": return try await register(client, step.text("email"), step.text("name"))
        case "sign_in": return try await signIn(actor, step)
        case "list_teams": return ["teams": try await teams(client)]
        case "create_project": return try await createProject(client, step.text("name"))
        case "link_repository": return try await linkRepository(client, step.text("name"))
        case "sync": return try await sync(client)
        case "get_job": return ["same": try await client.getJob(jobId: job().id) == job()]
        case "list_jobs": return ["kinds": try await jobs(client)]
        case "tree": return try await tree(client)
        case "read": return try await read(client, step.text("path"))
        case "follow": return try await follow(actor)
        case "told": return try await told(actor, step.text("kind"))
        case "publish": return try await publish(client)
        case "open": return try await open(client, preview().token.expose())
        case "open_altered": return try await open(client, altered(preview().token.expose()))
        case "get_preview": return try await getPreview(client)
        case "list_previews": return ["states": try await previews(client)]
        case "revoke": return ["state": wire(try await client.revokePreview(previewId: preview().preview.id).state)]
        case "list_projects": return ["names": try await projects(client)]
        case "cancel_job": return try await cancelJob(client)
        case "cancel_publish": return try await cancelPublish(client)
        case "wake":
            try await client.wake()
            return ["awake": true]
        case "same_session": return ["same": try await client.account() == actor.session]
        case "mark_read": return try await markRead(client)
        case "delete_project":
            try await client.deleteProject(projectId: projectId)
            return ["deleted": true]
        case "sign_out":
            try await client.signOut()
            return ["signed_out": true]
        case let verb: throw Fault(description: "unknown verb: \(verb)")
        }
    }

    private func actor(_ name: String) async throws -> Actor {
        if let actor = actors[name] { return actor }
        let options = ClientOptions(
            serverUrl: try setting("SERVER_URL"), deviceName: name, platform: name == "phone" ? .ios : .desktop,
            rootCertificates: try String(contentsOfFile: setting("ROOT_CERTIFICATES"), encoding: .utf8))
        let actor = Actor(try await HiveSync.inMemory(options: options))
        actors[name] = actor
        return actor
    }

    private func ask(_ what: String) throws -> Object {
        try say(["ask": what])
        return ["answer": try answer()]
    }

    private func register(_ client: HiveSync, _ email: String, _ name: String) async throws -> Object {
        try await client.register(credentials: Credentials(email: email, password: password), displayName: name)
        return ["registered": true]
    }

    private func signIn(_ actor: Actor, _ step: Object) async throws -> Object {
        let credentials = Credentials(
            email: step["email"] as? String ?? email, password: step["password"] as? String ?? password)
        let session = try await actor.client.signIn(credentials: credentials)
        actor.session = session
        return ["signed_in": try await actor.client.account() == session, "persistent": session.persistent]
    }

    private func teams(_ client: HiveSync) async throws -> [Object] {
        try await client.listTeams().items.map {
            ["name": $0.name, "personal": $0.personal, "role": wire($0.role)]
        }
    }

    private func createProject(_ client: HiveSync, _ name: String) async throws -> Object {
        let team = try await client.me().personalTeamId
        let project = try await client.createProject(
            teamId: team, name: name, repositoryUrl: try setting("REPOSITORY_URL"))
        projectId = project.id
        return ["name": project.name, "mirror": wire(project.mirrorState)]
    }

    private func linkRepository(_ client: HiveSync, _ name: String) async throws -> Object {
        let before = try await client.createProject(teamId: client.me().personalTeamId, name: name)
        let after = try await client.linkRepository(
            projectId: before.id, repositoryUrl: setting("REPOSITORY_URL"))
        return ["before": wire(before.mirrorState), "after": wire(after.mirrorState)]
    }

    private func sync(_ client: HiveSync) async throws -> Object {
        var progressed = false
        for try await state in client.sync(projectId: projectId) {
            if let progress = state.progress, progress.done > 0 { progressed = true }
            synced = state
        }
        let project = try await client.getProject(projectId: projectId)
        return [
            "kind": wire(try job().kind), "state": wire(try job().state), "progressed": progressed,
            "mirror": wire(project.mirrorState), "head": project.headCommit ?? NSNull(),
        ]
    }

    private func job() throws -> Job {
        guard let synced else { throw Fault(description: "nothing was synced") }
        return synced
    }

    private func jobs(_ client: HiveSync) async throws -> [String] {
        let team = try await client.me().personalTeamId
        return try await client.listJobs(teamId: team, projectId: projectId).items.map { wire($0.kind) }
    }

    private func tree(_ client: HiveSync) async throws -> Object {
        ["paths": try await client.listTree(projectId: projectId, recursive: true).items.map(\.path)]
    }

    private func read(_ client: HiveSync, _ path: String) async throws -> Object {
        let content = try await client.readFile(projectId: projectId, path: path).bytes
        return ["size": content.count, "sha256": try sha256(content)]
    }

    private func follow(_ actor: Actor) async throws -> Object {
        var events = actor.client.notifications().makeAsyncIterator()
        guard let first = try await events.next() else { throw Fault(description: "the stream ended") }
        actor.events = events
        return ["event": wire(first)]
    }

    private func told(_ actor: Actor, _ kind: String) async throws -> Object {
        var (reconnected, gap) = (false, false)
        while let event = try await actor.events?.next() {
            switch event {
            case .reconnected: reconnected = true
            case .gap: gap = true
            case .arrived(let notification) where wire(notification.kind) == kind:
                return [
                    "kind": kind, "text_is_empty": notification.text.isEmpty, "reconnected": reconnected, "gap": gap,
                ]
            default: break
            }
        }
        throw Fault(description: "the stream of notifications ended")
    }

    private func publish(_ client: HiveSync) async throws -> Object {
        var progressed = false
        let published = try await client.publish(
            projectId: projectId, directory: setting("BUNDLE"), options: PublishOptions(platform: .desktop)
        ) { _ in progressed = true }
        self.published = published
        return [
            "files": published.stats.files, "new_files": published.stats.newFiles,
            "left_out": published.stats.leftOut, "state": wire(published.preview.state), "progressed": progressed,
        ]
    }

    private func preview() throws -> Published {
        guard let published else { throw Fault(description: "nothing was published") }
        return published
    }

    private func open(_ client: HiveSync, _ token: String) async throws -> Object {
        let count = try FileManager.default.contentsOfDirectory(atPath: downloads.path).count
        let directory = downloads.appendingPathComponent("\(count)")
        let preview = try await client.openPreview(token: PreviewToken(text: token))
        _ = try await preview.saveTo(directory: directory.path) { _ in }
        var files: [String: String] = [:]
        for path in try FileManager.default.subpathsOfDirectory(atPath: directory.path) {
            let file = directory.appendingPathComponent(path)
            if try file.resourceValues(forKeys: [.isRegularFileKey]).isRegularFile == true {
                files[path] = try sha256(Data(contentsOf: file))
            }
        }
        return ["entry_point": preview.entryPoint(), "files": files]
    }

    private func altered(_ token: String) -> String {
        token.dropLast(4) + (token.hasSuffix("AAAA") ? "BBBB" : "AAAA")
    }

    private func getPreview(_ client: HiveSync) async throws -> Object {
        let preview = try await client.getPreview(previewId: preview().preview.id)
        return ["state": wire(preview.state), "files": preview.fileCount]
    }

    private func previews(_ client: HiveSync) async throws -> [String] {
        try await client.listPreviews(projectId: projectId).items.map { wire($0.state) }
    }

    private func projects(_ client: HiveSync) async throws -> [String] {
        try await client.listProjects(teamId: client.me().personalTeamId).items.map(\.name)
    }

    private func cancelJob(_ client: HiveSync) async throws -> Object {
        var job = try await client.syncRepository(projectId: projectId)
        try await client.cancelJob(jobId: job.id)
        for try await state in client.jobStates(jobId: job.id) { job = state }
        return ["state": wire(job.state)]
    }

    private func cancelPublish(_ client: HiveSync) async throws -> Object {
        let publishing = try client.publishPreview(
            projectId: projectId, directory: setting("DRAFT"), options: PublishOptions(platform: .desktop))
        while let progress = try await publishing.next(), progress.phase != .verifying {}
        publishing.cancel()
        return ["files": try await publishing.result().stats.files]
    }

    private func markRead(_ client: HiveSync) async throws -> Object {
        guard let last = try await client.listNotifications().items.first else {
            throw Fault(description: "there are no notifications")
        }
        return ["unread": try await client.markNotificationsRead(sequence: last.sequence)]
    }
}

/// The name that all languages have: `repoSync` is `repo_sync`.
func wire(_ value: Any) -> String {
    let name = String(describing: value).prefix { $0 != "(" }
    return name.map { $0.isUppercase ? "_\($0.lowercased())" : String($0) }.joined()
}

/// Foundation has no digests of its own on every platform.
func sha256(_ content: Data) throws -> String {
    let tool = Process()
    tool.executableURL = URL(fileURLWithPath: "/usr/bin/sha256sum")
    let (input, output) = (Pipe(), Pipe())
    tool.standardInput = input
    tool.standardOutput = output
    try tool.run()
    input.fileHandleForWriting.write(content)
    try input.fileHandleForWriting.close()
    let said = output.fileHandleForReading.readDataToEndOfFile()
    tool.waitUntilExit()
    return String(decoding: said.prefix(64), as: UTF8.self)
}
