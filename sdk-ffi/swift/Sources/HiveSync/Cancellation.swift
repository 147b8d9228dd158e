import HiveSyncFFI

/// Runs a call of the binding so that it ends in Rust too when the task is cancelled, which by itself goes no
/// further than the border. The call is given the handle to pass on.
///
/// - Throws: `CancellationError` if the task was cancelled.
public func cancellable<T>(_ call: (CancelHandle) async throws -> T) async throws -> T {
    let handle = CancelHandle()
    return try await cancelling(handle) { try await call(handle) }
}

/// What Rust does at somebody's request, and ends at the same one's.
protocol Cancellable: Sendable {
    func cancel()
}

extension CancelHandle: Cancellable {}
extension Download: Cancellable {}
extension JobWatch: Cancellable {}
extension NotificationStream: Cancellable {}
extension Publishing: Cancellable {}

/// Waits for what `operation` does with `work`, which is cancelled when the task is.
func cancelling<T>(_ work: some Cancellable, _ operation: () async throws -> T) async throws -> T {
    do {
        return try await withTaskCancellationHandler(operation: operation) { work.cancel() }
    } catch HiveSyncError.Cancelled where Task.isCancelled {
        throw CancellationError()
    }
}
