package dev.hivesync.sdk

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlinx.coroutines.runBlocking

class SecretStoreTest {
    private class Forgetful : MemoryStore() {
        override suspend fun save(slot: String, secret: String) = Unit
    }

    private class Failing(private val failure: Exception) : MemoryStore() {
        override suspend fun load(slot: String): String? = throw failure
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

    private companion object {
        const val SECRET = "canary-of-a-secret"
    }
}

internal val CAPABILITIES = StoreCapabilities(persistent = true, shared = false)
