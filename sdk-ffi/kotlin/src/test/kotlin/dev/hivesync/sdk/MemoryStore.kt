package dev.hivesync.sdk

import java.util.concurrent.ConcurrentHashMap

/** Keeps secrets for as long as the process runs, to be handed from one client to the next. */
open class MemoryStore : SecretStore {
    private val slots = ConcurrentHashMap<String, String>()

    override suspend fun load(slot: String): String? = slots[slot]

    override suspend fun save(slot: String, secret: String) {
        slots[slot] = secret
    }

    override suspend fun delete(slot: String) {
        slots.remove(slot)
    }

    /** The slots that are filled. */
    fun filled(): Set<String> = slots.keys.toSet()
}
