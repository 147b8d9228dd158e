import HiveSync
import XCTest

/// A task that is cancelled ends what Rust does for it: here, waiting for a store.
final class CancellationTests: XCTestCase {
    /// In seconds; below the five after which Rust lets go of a store by itself.
    private let limit = 4.0

    func testACallEndsWithItsTask() async throws {
        try await endsWithItsTask { try await $0.me() }
    }

    func testPublishingEndsWithItsTask() async throws {
        try await endsWithItsTask {
            try await $0.publish(
                projectId: "00000000-0000-4000-8000-000000000000",
                directory: (#filePath as NSString).deletingLastPathComponent,
                options: PublishOptions(platform: .desktop))
        }
    }

    func testACallOfACancelledTaskDoesNotBegin() async throws {
        let client = try await HiveSync.inMemory(options: options("https://localhost:1"))
        let call = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await client.me()
        }
        let outcome = await call.result
        XCTAssertThrowsError(try outcome.get()) { XCTAssert($0 is CancellationError, "\($0)") }
    }

    func testASequenceEndsWithTheTaskThatReadsIt() async throws {
        let store = SilentStore()
        let client = try await client(with: store)
        let reader = Task {
            var events: [NotificationEvent] = []
            for try await event in client.notifications() { events.append(event) }
            return events
        }
        await fulfillment(of: [store.asked], timeout: limit)
        reader.cancel()
        let events = try await reader.value
        XCTAssertEqual(events, [])
        await fulfillment(of: [store.abandoned], timeout: limit)
    }

    private func endsWithItsTask<T: Sendable>(_ call: @escaping @Sendable (HiveSync) async throws -> T) async throws {
        let store = SilentStore()
        let client = try await client(with: store)
        let running = Task { try await call(client) }
        await fulfillment(of: [store.asked], timeout: limit)
        running.cancel()
        let outcome = await running.result
        XCTAssertThrowsError(try outcome.get()) { XCTAssert($0 is CancellationError, "\($0)") }
        // It was Rust that waited for the store: it has let go, and so the store's own task is cancelled.
        await fulfillment(of: [store.abandoned], timeout: limit)
    }

    private func client(with store: SilentStore) async throws -> HiveSync {
        try await HiveSync.withStore(
            options: options("https://localhost:1"), store: store,
            capabilities: StoreCapabilities(persistent: true, shared: false))
    }
}

/// Never answers, and tells when it is asked and when nobody waits for the answer any more.
private final class SilentStore: SecretStore {
    let asked = XCTestExpectation(description: "the store is asked")
    let abandoned = XCTestExpectation(description: "nobody waits for the store")

    func load(slot: String) async throws -> String? {
        asked.fulfill()
        let (never, continuation) = AsyncStream<Void>.makeStream()
        for await _ in never {}
        continuation.finish()
        abandoned.fulfill()
        throw CancellationError()
    }
    func save(slot: String, secret: String) async throws {}
    func delete(slot: String) async throws {}
}
