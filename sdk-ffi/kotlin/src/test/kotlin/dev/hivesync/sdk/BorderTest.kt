package dev.hivesync.sdk

import java.io.File
import java.net.ServerSocket
import java.util.concurrent.CopyOnWriteArrayList
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue
import kotlinx.coroutines.runBlocking

/** What is printed, and so logged, shows no secret. */
class BorderTest {
    @Test
    fun `what holds a secret shows nothing`() {
        Credentials("ada@example.org", SECRET).use {
            assertFalse(SECRET in it.toString())
            assertFalse("ada" in it.toString())
        }
        PreviewToken(SECRET).use { assertFalse(SECRET in it.toString()) }
    }

    @Test
    fun `no record has a field for a secret`() {
        val records = records()
        assertTrue(Account::class.java in records, "the records are found: $records")
        val suspicious = Regex("password|secret|token|credential|private|proof", RegexOption.IGNORE_CASE)
        val printed = records.flatMap { it.declaredFields.asList() }
            // An object of the library prints its identity only.
            .filterNot { Disposable::class.java.isAssignableFrom(it.type) }
            .map { "${it.declaringClass.simpleName}.${it.name}" }
        assertEquals(emptyList(), printed.filter { suspicious.containsMatchIn(it) })
    }

    @Test
    fun `an error shows nothing of what was sent`() = runBlocking {
        HiveSync.inMemory(options(nobodyThere())).use { client ->
            val offline = assertFailsWith<HiveSyncException.Offline> {
                client.signIn(Credentials("ada@example.org", SECRET))
            }
            assertEquals("offline", offline.details.code)
            val signedOut = assertFailsWith<HiveSyncException.SignedOut> { client.openPreview(PreviewToken(SECRET)) }
            assertEquals(SignedOutReason.NOT_SIGNED_IN, signedOut.reason)
            for (error in listOf(offline, signedOut)) {
                assertFalse(SECRET in error.stackTraceToString())
            }
        }
    }

    @Test
    fun `the logs show nothing of what was sent`() = runBlocking {
        val sink = Sink()
        setLogSink(sink, LogLevel.DEBUG)
        HiveSync.inMemory(options(nobodyThere())).use { client ->
            assertFailsWith<HiveSyncException.Offline> { client.signIn(Credentials("ada@example.org", SECRET)) }
        }
        removeLogSink()
        assertTrue(sink.records.any { it.target.startsWith("hivesync") }, "the failure is logged: ${sink.records}")
        assertFalse(sink.records.any { SECRET in it.toString() || "ada" in it.toString() }, "${sink.records}")
    }

    private class Sink : LogSink {
        val records = CopyOnWriteArrayList<LogRecord>()

        override fun write(records: List<LogRecord>, dropped: ULong) {
            this.records += records
        }
    }

    private fun nobodyThere(): String = "https://localhost:${ServerSocket(0).use { it.localPort }}"

    /** The data classes of this package, which print what they hold. */
    private fun records(): List<Class<*>> {
        val classes = File(HiveSync::class.java.protectionDomain.codeSource.location.toURI())
        return classes.resolve("dev/hivesync/sdk").listFiles().orEmpty()
            .filter { it.extension == "class" }
            .map { Class.forName("dev.hivesync.sdk.${it.nameWithoutExtension}", false, javaClass.classLoader) }
            .filter { candidate -> candidate.methods.any { it.name == "component1" } }
    }

    private companion object {
        const val SECRET = "canary-of-a-secret"
    }
}

/** Of a client that nobody has seen before. */
internal fun options(serverUrl: String) =
    ClientOptions(serverUrl = serverUrl, deviceName = "a test", platform = Platform.DESKTOP)
