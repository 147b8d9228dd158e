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
            XCTAssertEqual((error as? HiveSyncError)?.details.code, code)
            for printed in ["\(String(describing: error))", String(reflecting: error)] {
                XCTAssertFalse(printed.contains(canary), printed)
            }
        }
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
