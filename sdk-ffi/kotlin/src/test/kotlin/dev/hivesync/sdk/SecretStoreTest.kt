package dev.hivesync.sdk

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout

class SecretStoreTest {
    private class Forgetful : MemoryStore() {
        override suspend fun save(slot: String, secret: String) = Unit
    }

    private class Failing(private val failure: Exception) : MemoryStore() {
        override suspend fun load(slot: String): String? = throw failure
    }

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
    fun `a store in Kotlin does all that a store must do`() = runBlocking {
        val store = MemoryStore()
        assertNull(checkSecretStore(store))
        assertEquals(emptySet(), store.filled())
    }

    @Test
    fun `a store that keeps nothing is found out`() = runBlocking {
        assertNotNull(checkSecretStore(Forgetful()))
        Unit
    }

    @Test
    fun `the failure of a store keeps its kind`() = runBlocking {
        for ((failure, kind) in listOf(
            StoreException.Locked() to StorageErrorKind.LOCKED,
            StoreException.Corrupt() to StorageErrorKind.CORRUPT,
            // Whatever else a store throws takes no text across the border.
            IllegalStateException(SECRET) to StorageErrorKind.UNAVAILABLE,
        )) {
            val client = HiveSync.withStore(options("https://localhost:1"), Failing(failure), CAPABILITIES)
            val error = client.use { assertFailsWith<HiveSyncException.Storage> { it.account() } }
            assertEquals(kind, error.kind)
            assertFalse(SECRET in error.stackTraceToString())
        }
    }

    @Test
    fun `cancelling a coroutine ends its call in Rust`() = runBlocking {
        val store = Silent()
        val call = launch { checkSecretStore(store) }
        withTimeout(LIMIT_MS) { store.asked.await() }
        call.cancelAndJoin()
        // It was Rust that waited for the store: it has let go, and so the store's own coroutine is cancelled.
        withTimeout(LIMIT_MS) { store.abandoned.await() }
    }

    private companion object {
        const val SECRET = "canary-of-a-secret"
        val CAPABILITIES = StoreCapabilities(persistent = true, shared = false)

        /** Below the five seconds after which Rust lets go of a store by itself. */
        const val LIMIT_MS = 4_000L
    }
}
