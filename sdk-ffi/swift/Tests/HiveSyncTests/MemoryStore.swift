import HiveSync

/// Keeps secrets for as long as the process runs, to be handed from one client to the next.
final class MemoryStore: SecretStore {
    private let slots = Slots()

    func load(slot: String) async throws -> String? { await slots.secret(in: slot) }
    func save(slot: String, secret: String) async throws { await slots.put(secret, in: slot) }
    func delete(slot: String) async throws { await slots.put(nil, in: slot) }

    /// The slots that are filled.
    func filled() async -> [String] { await slots.filled() }
}

private actor Slots {
    private var secrets: [String: String] = [:]

    func secret(in slot: String) -> String? { secrets[slot] }
    func put(_ secret: String?, in slot: String) { secrets[slot] = secret }
    func filled() -> [String] { Array(secrets.keys) }
}
