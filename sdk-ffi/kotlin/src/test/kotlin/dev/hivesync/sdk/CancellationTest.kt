package dev.hivesync.sdk

import kotlin.test.Test
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout

/** A coroutine that is cancelled ends what Rust does for it: here, waiting for a store. */
class CancellationTest {
    /** Never answers, and tells when it is asked and when nobody waits for the answer any more. */
    private class Silent : MemoryStore() {
        val asked = CompletableDeferred<Unit>()
        val abandoned = CompletableDeferred<Unit>()

        override suspend fun load(slot: String): String? {
            asked.complete(Unit)
            try {
                awaitCancellation()
            } finally {
                abandoned.complete(Unit)
            }
        }
    }

    @Test
    fun `a call ends with its coroutine`() = endsWithItsCoroutine { me() }

    @Test
    fun `a stream ends with the coroutine that collects it`() = endsWithItsCoroutine { notifications().collect {} }

    @Test
    fun `publishing ends with its coroutine`() =
        endsWithItsCoroutine { publish(PROJECT, "src", PublishOptions(Platform.DESKTOP)) }

    private fun endsWithItsCoroutine(call: suspend HiveSync.() -> Unit) = runBlocking {
        val store = Silent()
        HiveSync.withStore(options("https://localhost:1"), store, CAPABILITIES).use { client ->
            val running = launch { client.call() }
            withTimeout(LIMIT) { store.asked.await() }
            running.cancelAndJoin()
            withTimeout(LIMIT) { store.abandoned.await() }
        }
    }

    private companion object {
        const val PROJECT = "00000000-0000-4000-8000-000000000000"

        /** Below the five seconds after which Rust lets go of a store by itself. */
        val LIMIT = 4.seconds
    }
}
