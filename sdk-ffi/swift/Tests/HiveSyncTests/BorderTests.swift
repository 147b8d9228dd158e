import HiveSync
import XCTest

let canary = "canary-of-a-secret"

/// What is printed, and so logged, shows no secret.
final class BorderTests: XCTestCase {
    func testWhatHoldsASecretShowsNothing() {
        for holder in [Credentials(email: "ada@example.org", password: canary), PreviewToken(text: canary)] as [Any] {
            var dumped = ""
            dump(holder, to: &dumped)
            for printed in ["\(holder)", String(reflecting: holder), dumped] {
                XCTAssertFalse(printed.contains(canary) || printed.contains("ada"), printed)
            }
        }
    }

    func testAnErrorShowsNothingOfWhatWasSent() async throws {
        let client = try await HiveSync.inMemory(options: options("https://localhost:1"))
        let offline = await failure(of: {
            try await client.signIn(credentials: Credentials(email: "ada@example.org", password: canary))
        })
        let signedOut = await failure(of: { try await client.openPreview(token: PreviewToken(text: canary)) })
        for (error, code) in [(offline, "offline"), (signedOut, "signed_out")] {
            let details = (error as? HiveSyncError)?.details
            XCTAssertEqual(details?.code, code)
            XCTAssertEqual(error?.localizedDescription, details?.text)
            for printed in ["\(String(describing: error))", String(reflecting: error)] {
                XCTAssertFalse(printed.contains(canary), printed)
            }
        }
    }

    func testTheLogsShowNothingOfWhatWasSent() async throws {
        let sink = Sink()
        try setLogSink(sink: sink, level: .debug)
        let client = try await HiveSync.inMemory(options: options("https://localhost:1"))
        _ = await failure(of: {
            try await client.signIn(credentials: Credentials(email: "ada@example.org", password: canary))
        })
        removeLogSink()
        let records = sink.taken()
        XCTAssert(records.contains { $0.target.hasPrefix("hivesync") }, "the failure is logged: \(records)")
        for record in records {
            XCTAssertFalse("\(record)".contains(canary) || "\(record)".contains("ada"), "\(record)")
        }
    }
}

/// Keeps what is logged.
private final class Sink: LogSink, @unchecked Sendable {
    private let lock = NSLock()
    private var records: [LogRecord] = []

    func write(records: [LogRecord], dropped: UInt64) throws {
        lock.withLock { self.records += records }
    }

    func taken() -> [LogRecord] {
        lock.withLock { records }
    }
}

/// Of a client that nobody has seen before.
func options(_ serverUrl: String) -> ClientOptions {
    ClientOptions(serverUrl: serverUrl, deviceName: "a test", platform: .desktop)
}

/// What a call fails with, if it does.
func failure<T>(of call: () async throws -> T) async -> (any Error)? {
    do {
        _ = try await call()
        return nil
    } catch {
        return error
    }
}
