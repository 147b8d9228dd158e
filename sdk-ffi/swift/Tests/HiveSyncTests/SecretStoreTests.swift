import HiveSync
import XCTest

final class SecretStoreTests: XCTestCase {
    func testAStoreInSwiftDoesAllThatAStoreMust() async throws {
        let store = MemoryStore()
        let fault = try await checkSecretStore(store: store)
        XCTAssertNil(fault)
        let left = await store.filled()
        XCTAssertEqual(left, [])
    }

    func testAStoreThatKeepsNothingIsFoundOut() async throws {
        let fault = try await checkSecretStore(store: ForgetfulStore())
        XCTAssertNotNil(fault)
    }

    func testTheFailureOfAStoreKeepsItsKind() async throws {
        let cases: [(any Error & Sendable, StorageErrorKind)] = [
            (StoreError.Locked, .locked),
            (StoreError.Corrupt, .corrupt),
            // Whatever else a store throws takes no text across the border.
            (Told(secret: canary), .unavailable),
        ]
        for (thrown, kind) in cases {
            let client = try await HiveSync.withStore(
                options: options("https://localhost:1"), store: FailingStore(throwing: thrown),
                capabilities: StoreCapabilities(persistent: true, shared: false))
            let error = await failure(of: { try await client.account() })
            guard case .Storage(kind, _)? = error as? HiveSyncError else {
                XCTFail("\(kind): \(String(describing: error))")
                continue
            }
            XCTAssertFalse(String(reflecting: error).contains(canary))
        }
    }
}

private struct Told: Error {
    let secret: String
}

private final class ForgetfulStore: SecretStore {
    func load(slot: String) async throws -> String? { nil }
    func save(slot: String, secret: String) async throws {}
    func delete(slot: String) async throws {}
}

private final class FailingStore: SecretStore {
    private let thrown: any Error & Sendable

    init(throwing thrown: any Error & Sendable) {
        self.thrown = thrown
    }

    func load(slot: String) async throws -> String? { throw thrown }
    func save(slot: String, secret: String) async throws {}
    func delete(slot: String) async throws {}
}
