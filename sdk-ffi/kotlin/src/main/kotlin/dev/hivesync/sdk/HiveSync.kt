/**
 * What Kotlin adds to the binding: flows, progress, and what all errors have. `README.md` of the package shows how to
 * begin.
 *
 * A `suspend` function whose coroutine is cancelled ends in Rust too; none needs a [CancelHandle]. Every object can be
 * closed with `use`; one that is not is freed once nothing refers to it.
 */
package dev.hivesync.sdk

import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.emitAll
import kotlinx.coroutines.flow.flow

/**
 * The user's notifications, live: those after the sequence [after], 0 for the very first; without it, those that come
 * from now on. Lost connections are made again. An error ends the flow.
 */
fun HiveSync.notifications(after: ULong? = null): Flow<NotificationEvent> = flow {
    followNotifications(after).use { stream ->
        while (true) {
            stream.nextBatch().ifEmpty { break }.forEach { emit(it) }
        }
    }
}

/** A job as it stands, then each change, until it has ended. Lost connections are made again. */
fun HiveSync.jobStates(jobId: String): Flow<WorkerJob> = flow {
    watchJob(jobId).use { watch ->
        while (true) {
            emit(watch.next() ?: break)
        }
    }
}

/**
 * Syncs the mirror of a project: the states of the job, until it has ended. Whoever stops collecting leaves the job
 * alone; [HiveSync.cancelJob] stops it.
 */
fun HiveSync.sync(projectId: String): Flow<WorkerJob> = flow { emitAll(jobStates(syncRepository(projectId).id)) }

/**
 * Publishes the files of a directory, and waits until the preview can be opened. Stops when the coroutine is cancelled;
 * a preview that the server knows by then stays there until it expires or is revoked.
 *
 * @see HiveSync.publishPreview
 */
suspend fun HiveSync.publish(
    projectId: String,
    directory: String,
    options: PublishOptions,
    onProgress: suspend (PublishProgress) -> Unit = {},
): Published = publishPreview(projectId, directory, options).use { publishing ->
    while (true) {
        onProgress(publishing.next() ?: break)
    }
    publishing.result()
}

/** As [OpenPreview.saveTo], with a report on the way. */
suspend fun OpenPreview.saveTo(directory: String, onProgress: suspend (OpenProgress) -> Unit): OpenStats =
    download(directory).use { download ->
        while (true) {
            onProgress(download.next() ?: break)
        }
        download.result()
    }

/** What errors of all kinds have. */
val HiveSyncException.details: ErrorDetails
    get() = when (this) {
        is HiveSyncException.Cancelled -> details
        is HiveSyncException.Offline -> details
        is HiveSyncException.Timeout -> details
        is HiveSyncException.SignedOut -> details
        is HiveSyncException.Forbidden -> details
        is HiveSyncException.LimitReached -> details
        is HiveSyncException.RateLimited -> details
        is HiveSyncException.InvalidRequest -> details
        is HiveSyncException.Conflict -> details
        is HiveSyncException.Unavailable -> details
        is HiveSyncException.Storage -> details
        is HiveSyncException.UpgradeRequired -> details
        is HiveSyncException.Internal -> details
    }
