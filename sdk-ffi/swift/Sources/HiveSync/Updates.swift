import HiveSyncFFI

/// What comes over time, such as notifications. It is asked for as it is read, so that nothing piles up. An error
/// ends it, and so does the end of the task that reads it.
public struct Updates<Element: Sendable>: AsyncSequence, Sendable {
    /// What an iterator reads from.
    struct Source: Sendable {
        let stream: any Cancellable
        /// Waits for more; none at the end.
        let next: @Sendable () async throws -> [Element]
    }

    let open: @Sendable () async throws -> Source

    public struct Iterator: AsyncIteratorProtocol {
        let open: @Sendable () async throws -> Source
        var source: Source?
        var waiting: ArraySlice<Element> = []

        public mutating func next() async throws -> Element? {
            if waiting.isEmpty {
                waiting = try await more()[...]
            }
            return waiting.popFirst()
        }

        private mutating func more() async throws -> [Element] {
            guard let source else {
                source = try await open()
                return try await more()
            }
            return try await cancelling(source.stream, source.next)
        }
    }

    public func makeAsyncIterator() -> Iterator {
        Iterator(open: open)
    }
}

extension HiveSync {
    /// The user's notifications, live: those after the sequence `after`, 0 for the very first; without it, those
    /// that come from now on. Lost connections are made again.
    public func notifications(after: UInt64? = nil) -> Updates<NotificationEvent> {
        Updates {
            let stream = try self.followNotifications(after: after)
            return .init(stream: stream) { try await stream.nextBatch() }
        }
    }

    /// A job as it stands, then each change, until it has ended. Lost connections are made again.
    public func jobStates(jobId: String) -> Updates<Job> {
        Updates { try self.states(of: jobId) }
    }

    /// Syncs the mirror of a project: the states of the job, until it has ended. Whoever stops reading leaves the
    /// job alone; `cancelJob` stops it.
    public func sync(projectId: String) -> Updates<Job> {
        Updates { try self.states(of: try await self.syncRepository(projectId: projectId).id) }
    }

    private func states(of jobId: String) throws -> Updates<Job>.Source {
        let watch = try watchJob(jobId: jobId)
        return .init(stream: watch) { try await watch.next().map { [$0] } ?? [] }
    }

    /// Publishes the files of a directory, and waits until the preview can be opened. Stops when the task is
    /// cancelled; a preview that the server knows by then stays there until it expires or is revoked.
    public func publish(
        projectId: String, directory: String, options: PublishOptions,
        onProgress: (PublishProgress) -> Void = { _ in }
    ) async throws -> Published {
        let publishing = try publishPreview(projectId: projectId, directory: directory, options: options)
        return try await cancelling(publishing) {
            while let progress = try await publishing.next() { onProgress(progress) }
            return try await publishing.result()
        }
    }
}

extension OpenPreview {
    /// As `saveTo(directory:)`, with a report on the way.
    public func saveTo(directory: String, onProgress: (OpenProgress) -> Void) async throws -> OpenStats {
        let download = try download(directory: directory)
        return try await cancelling(download) {
            while let progress = try await download.next() { onProgress(progress) }
            return try await download.result()
        }
    }
}
