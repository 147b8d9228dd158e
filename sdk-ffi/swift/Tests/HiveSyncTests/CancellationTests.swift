import HiveSync
import XCTest

final class CancellationTests: XCTestCase {
    func testCancellingATaskEndsItsCallInRust() async throws {
        let store = SilentStore()
        let client = try await HiveSync.withStore(
            options: options("https://localhost:1"), store: store,
            capabilities: StoreCapabilities(persistent: true, shared: false))
        let call = Task { try await client.me() }
        await store.asked.wait()
        call.cancel()
        let outcome = await call.result
        XCTAssertThrowsError(try outcome.get()) { XCTAssert($0 is CancellationError, "\($0)") }
        // It was Rust that waited for the store: it has let go, and so the store's own task is cancelled.
        await store.abandoned.wait()
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
        let client = try await HiveSync.withStore(
            options: options("https://localhost:1"), store: store,
            capabilities: StoreCapabilities(persistent: true, shared: false))
        let reader = Task {
            var events: [NotificationEvent] = []
            for try await event in client.notifications() { events.append(event) }
            return events
        }
        await store.asked.wait()
        reader.cancel()
        let events = try await reader.value
        XCTAssertEqual(events, [])
    }
}

/// Never answers, and tells when it is asked and when nobody waits for the answer any more.
private final class SilentStore: SecretStore {
    let asked = Signal()
    let abandoned = Signal()

    func load(slot: String) async throws -> String? {
        await asked.give()
        let (never, continuation) = AsyncStream<Void>.makeStream()
        for await _ in never {}
        continuation.finish()
        await abandoned.give()
        throw CancellationError()
    }
    func save(slot: String, secret: String) async throws {}
    func delete(slot: String) async throws {}
}

/// Something that happens once.
private actor Signal {
    private var given = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    func give() {
        given = true
        waiting.forEach { $0.resume() }
        waiting = []
    }

    func wait() async {
        if given { return }
        await withCheckedContinuation { waiting.append($0) }
    }
}
