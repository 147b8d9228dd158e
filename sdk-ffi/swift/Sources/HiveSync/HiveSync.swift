//  What Swift adds to the binding: cancellation, asynchronous sequences, and what all errors have. `README.md` of
//  the package shows how to begin.

import Foundation
@_exported import HiveSyncFFI

extension HiveSyncError: LocalizedError {
    /// What to tell the user.
    public var errorDescription: String? { details.text }

    /// What errors of all kinds have.
    public var details: ErrorDetails {
        switch self {
        case .Cancelled(let details), .Offline(let details), .Timeout(let details), .SignedOut(_, let details),
            .Forbidden(let details), .LimitReached(_, let details), .RateLimited(_, let details),
            .InvalidRequest(_, let details), .Conflict(let details), .Unavailable(let details),
            .Storage(_, let details), .UpgradeRequired(let details), .Internal(_, let details):
            return details
        }
    }
}
