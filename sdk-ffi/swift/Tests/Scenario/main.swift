//  Tells the story that the clients of all languages tell, as its file describes.

import Foundation
import HiveSync

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What is missing or unexpected on this side.
struct Fault: Error, CustomStringConvertible {
    let description: String
}

typealias Object = [String: Any]

func setting(_ name: String) throws -> String {
    guard let value = ProcessInfo.processInfo.environment["HIVESYNC_\(name)"] else {
        throw Fault(description: "HIVESYNC_\(name) is not set")
    }
    return value
}

func object(_ data: Data) throws -> Object {
    guard let object = try JSONSerialization.jsonObject(with: data) as? Object else {
        throw Fault(description: "this is no object")
    }
    return object
}

/// One line of the one who runs the driver.
func answer() throws -> Object {
    guard let line = readLine() else { throw Fault(description: "the input ended") }
    return try object(Data(line.utf8))
}

func say(_ message: Object) throws {
    let line = try JSONSerialization.data(withJSONObject: message)
    FileHandle.standardOutput.write(line + Data("\n".utf8))
}

extension Object {
    func text(_ name: String) throws -> String {
        guard let text = self[name] as? String else { throw Fault(description: "there is no \(name)") }
        return text
    }
}

do {
    let file = try Data(contentsOf: URL(fileURLWithPath: setting("SCENARIO")))
    let secrets = try answer()
    let scenario = try Scenario(email: secrets.text("email"), password: secrets.text("password"))
    signal(SIGALRM) { _ in
        fputs("a step took longer than 60 seconds\n", stderr)
        _exit(1)
    }
    for (index, step) in (try object(file)["steps"] as? [Object] ?? []).enumerated() {
        alarm(60)
        try say(["step": index + 1, "outcome": try await scenario.outcome(of: step)])
    }
} catch {
    fputs("\(error)\n", stderr)
    exit(1)
}
