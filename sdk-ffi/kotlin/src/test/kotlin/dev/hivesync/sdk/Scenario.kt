package dev.hivesync.sdk

import java.io.File
import java.nio.file.Files
import java.nio.file.Path
import java.security.MessageDigest
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.cancelChildren
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.channels.ReceiveChannel
import kotlinx.coroutines.flow.buffer
import kotlinx.coroutines.flow.catch
import kotlinx.coroutines.flow.last
import kotlinx.coroutines.flow.produceIn
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.addJsonObject
import kotlinx.serialization.json.buildJsonArray
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.put
import kotlinx.serialization.json.putJsonArray
import kotlinx.serialization.json.putJsonObject

/** Tells the story that the clients of all languages tell, as its file describes. */
fun main() = runBlocking {
    val steps = Json.parseToJsonElement(File(setting("SCENARIO")).readText()).jsonObject.getValue("steps").jsonArray
    val secrets = Json.parseToJsonElement(readln()).jsonObject
    val scenario = Scenario(secrets.text("email"), secrets.text("password"), this)
    steps.map { it.jsonObject }.forEachIndexed { index, step ->
        val outcome = withTimeout(60.seconds) { scenario.outcome(step) }
        println(buildJsonObject {
            put("step", index + 1)
            put("outcome", outcome)
        })
    }
    // What still follows notifications.
    coroutineContext.cancelChildren()
}

private fun setting(name: String) = System.getenv("HIVESYNC_$name") ?: error("HIVESYNC_$name is not set")

private fun JsonObject.text(name: String) = getValue(name).jsonPrimitive.content

private fun JsonObject.optional(name: String) = get(name)?.jsonPrimitive?.content

/** A client that acts, and what it remembers. */
private class Actor(val client: HiveSync) {
    lateinit var session: Account
    lateinit var events: ReceiveChannel<NotificationEvent>
}

private class Scenario(
    private val email: String,
    private val password: String,
    private val scope: CoroutineScope,
) {
    private val actors = mutableMapOf<String, Actor>()
    private val downloads = Path.of(setting("DOWNLOADS"))
    private lateinit var projectId: String
    private lateinit var synced: WorkerJob
    private lateinit var published: Published

    /** Does a step. */
    suspend fun outcome(step: JsonObject): JsonObject = try {
        if (step.text("do") == "ask") ask(step.text("what")) else act(actor(step.text("as")), step)
    } catch (error: HiveSyncException) {
        buildJsonObject {
            put("error", error.details.code)
            put("reason", error.details.reason)
        }
    }

    private suspend fun act(actor: Actor, step: JsonObject): JsonObject = when (val verb = step.text("do")) {
        "register" -> register(actor.client, step.text("email"), step.text("name"))
        "sign_in" -> signIn(actor, step.optional("email") ?: email, step.optional("password") ?: password)
        "list_teams" -> listTeams(actor.client)
        "create_project" -> createProject(actor.client, step.text("name"))
        "link_repository" -> linkRepository(actor.client, step.text("name"))
        "sync" -> sync(actor.client)
        "get_job" -> buildJsonObject { put("same", actor.client.getJob(synced.id) == synced) }
        "list_jobs" -> listJobs(actor.client)
        "tree" -> tree(actor.client)
        "read" -> read(actor.client, step.text("path"))
        "follow" -> follow(actor)
        "told" -> told(actor, step.text("kind"))
        "publish" -> publish(actor.client)
        "open" -> open(actor.client, published.token.expose())
        "open_altered" -> open(actor.client, altered(published.token.expose()))
        "get_preview" -> getPreview(actor.client)
        "list_previews" -> names("states", actor.client.listPreviews(projectId).items.map { it.state.wire() })
        "revoke" -> state(actor.client.revokePreview(published.preview.id).state)
        "list_projects" -> listProjects(actor.client)
        "cancel_job" -> cancelJob(actor.client)
        "cancel_publish" -> cancelPublish(actor.client)
        "wake" -> {
            actor.client.wake()
            buildJsonObject { put("awake", true) }
        }
        "same_session" -> buildJsonObject { put("same", actor.client.account() == actor.session) }
        "mark_read" -> markRead(actor.client)
        "delete_project" -> {
            actor.client.deleteProject(projectId)
            buildJsonObject { put("deleted", true) }
        }
        "sign_out" -> {
            actor.client.signOut()
            buildJsonObject { put("signed_out", true) }
        }
        else -> error("unknown verb: $verb")
    }

    private suspend fun actor(name: String): Actor = actors.getOrPut(name) {
        val options = ClientOptions(
            serverUrl = setting("SERVER_URL"),
            deviceName = name,
            platform = if (name == "phone") Platform.IOS else Platform.DESKTOP,
            rootCertificates = File(setting("ROOT_CERTIFICATES")).readText(),
        )
        Actor(HiveSync.inMemory(options))
    }

    private fun ask(what: String): JsonObject {
        println(buildJsonObject { put("ask", what) })
        return buildJsonObject { put("answer", Json.parseToJsonElement(readln())) }
    }

    private suspend fun register(client: HiveSync, email: String, name: String): JsonObject {
        client.register(Credentials(email, password), name)
        return buildJsonObject { put("registered", true) }
    }

    private suspend fun signIn(actor: Actor, email: String, password: String): JsonObject {
        actor.session = actor.client.signIn(Credentials(email, password))
        return buildJsonObject {
            put("signed_in", actor.client.account() == actor.session)
            put("persistent", actor.session.persistent)
        }
    }

    private suspend fun listTeams(client: HiveSync): JsonObject {
        val teams = client.listTeams().items
        return buildJsonObject {
            putJsonArray("teams") {
                teams.forEach {
                    addJsonObject {
                        put("name", it.name)
                        put("personal", it.personal)
                        put("role", it.role.wire())
                    }
                }
            }
        }
    }

    private suspend fun createProject(client: HiveSync, name: String): JsonObject {
        val project = client.createProject(client.me().personalTeamId, name, setting("REPOSITORY_URL"))
        projectId = project.id
        return buildJsonObject {
            put("name", project.name)
            put("mirror", project.mirrorState.wire())
        }
    }

    private suspend fun linkRepository(client: HiveSync, name: String): JsonObject {
        val before = client.createProject(client.me().personalTeamId, name)
        val after = client.linkRepository(before.id, setting("REPOSITORY_URL"))
        return buildJsonObject {
            put("before", before.mirrorState.wire())
            put("after", after.mirrorState.wire())
        }
    }

    private suspend fun sync(client: HiveSync): JsonObject {
        val states = client.sync(projectId).toList()
        synced = states.last()
        val project = client.getProject(projectId)
        return buildJsonObject {
            put("kind", synced.kind.wire())
            put("state", synced.state.wire())
            put("progressed", states.any { state -> state.progress?.let { it.done > 0u } ?: false })
            put("mirror", project.mirrorState.wire())
            put("head", project.headCommit)
        }
    }

    private suspend fun listJobs(client: HiveSync) =
        names("kinds", client.listJobs(client.me().personalTeamId, projectId).items.map { it.kind.wire() })

    private suspend fun getPreview(client: HiveSync): JsonObject {
        val preview = client.getPreview(published.preview.id)
        return buildJsonObject {
            put("state", preview.state.wire())
            put("files", preview.fileCount.toLong())
        }
    }

    private suspend fun tree(client: HiveSync) =
        names("paths", client.listTree(projectId, recursive = true).items.map { it.path })

    private suspend fun read(client: HiveSync, path: String): JsonObject {
        val content = client.readFile(projectId, path).bytes
        return buildJsonObject {
            put("size", content.size)
            put("sha256", sha256(content))
        }
    }

    private suspend fun follow(actor: Actor): JsonObject {
        // It ends when its client has signed out, which is no failure of the story.
        val notifications = actor.client.notifications().catch { if (it !is HiveSyncException.SignedOut) throw it }
        actor.events = notifications.buffer(Channel.RENDEZVOUS).produceIn(scope)
        val first = actor.events.receive()
        return buildJsonObject { put("event", first::class.simpleName?.lowercase()) }
    }

    private suspend fun told(actor: Actor, kind: String): JsonObject {
        var (reconnected, gap) = false to false
        for (event in actor.events) {
            when (event) {
                is NotificationEvent.Reconnected -> reconnected = true
                is NotificationEvent.Gap -> gap = true
                is NotificationEvent.Arrived -> if (event.notification.kind.wire() == kind) {
                    return buildJsonObject {
                        put("kind", kind)
                        put("text_is_empty", event.notification.text.isEmpty())
                        put("reconnected", reconnected)
                        put("gap", gap)
                    }
                }
                else -> Unit
            }
        }
        error("the stream of notifications ended")
    }

    private suspend fun publish(client: HiveSync): JsonObject {
        var progressed = false
        published = client.publish(projectId, setting("BUNDLE"), PublishOptions(Platform.DESKTOP)) { progressed = true }
        return buildJsonObject {
            put("files", published.stats.files.toLong())
            put("new_files", published.stats.newFiles.toLong())
            put("left_out", published.stats.leftOut.toLong())
            put("state", published.preview.state.wire())
            put("progressed", progressed)
        }
    }

    private suspend fun open(client: HiveSync, token: String): JsonObject {
        val directory = downloads.resolve("${Files.list(downloads).use { it.count() }}")
        return client.openPreview(PreviewToken(token)).use { preview ->
            preview.saveTo(directory.toString()) {}
            buildJsonObject {
                put("entry_point", preview.entryPoint())
                putJsonObject("files") {
                    directory.toFile().walk().filter { it.isFile }.forEach {
                        put(it.relativeTo(directory.toFile()).path, sha256(it.readBytes()))
                    }
                }
            }
        }
    }

    private fun altered(token: String): String = token.dropLast(4) + if (token.endsWith("AAAA")) "BBBB" else "AAAA"

    private suspend fun listProjects(client: HiveSync) =
        names("names", client.listProjects(client.me().personalTeamId).items.map { it.name })

    private suspend fun cancelJob(client: HiveSync): JsonObject {
        val job = client.syncRepository(projectId)
        client.cancelJob(job.id)
        return state(client.jobStates(job.id).last().state)
    }

    private suspend fun cancelPublish(client: HiveSync): JsonObject {
        val stats = client.publishPreview(projectId, setting("DRAFT"), PublishOptions(Platform.DESKTOP)).use {
            while (true) {
                val progress = it.next() ?: break
                if (progress.phase == PublishPhase.VERIFYING) break
            }
            it.cancel()
            it.result().stats
        }
        return buildJsonObject { put("files", stats.files.toLong()) }
    }

    private suspend fun markRead(client: HiveSync): JsonObject {
        val last = client.listNotifications().items.first().sequence
        return buildJsonObject { put("unread", client.markNotificationsRead(last).toLong()) }
    }
}

private fun names(field: String, names: List<String>): JsonObject =
    buildJsonObject { put(field, buildJsonArray { names.forEach { add(JsonPrimitive(it)) } }) }

private fun state(state: Enum<*>): JsonObject = buildJsonObject { put("state", state.wire()) }

/** The name that all languages have. */
private fun Enum<*>.wire(): String = name.lowercase()

private fun sha256(bytes: ByteArray): String =
    MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { "%02x".format(it) }
