//! The reference of settings: every name that [`Config`](super::Config) reads, what it takes, and what holds without
//! it. `server/CONFIGURATION.md` is made of this, and tests hold both against the code that reads.

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name in the environment and in the file of `--config`.
    pub name: &'static str,
    /// What may be written.
    pub takes: &'static str,
    /// What holds without it in local mode; the very value, if it stands in backticks.
    pub local: &'static str,
    /// The same in staging and production.
    pub elsewhere: &'static str,
    /// What it does.
    pub what: &'static str,
    /// Whether it may stand in the file that `<name>_FILE` names, because it holds a secret.
    pub is_secret: bool,
}

/// Settings about one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// What they are about.
    pub title: &'static str,
    /// In the order of reading.
    pub settings: &'static [Setting],
}

impl Setting {
    const fn new(name: &'static str, takes: &'static str, default: &'static str, what: &'static str) -> Self {
        Self { name, takes, local: default, elsewhere: default, what, is_secret: false }
    }

    const fn elsewhere(self, default: &'static str) -> Self {
        Self { elsewhere: default, ..self }
    }

    const fn secret(self) -> Self {
        Self { is_secret: true, ..self }
    }
}

const NONE: &str = "none";
const GENERATED: &str = "generated, in `DATA_DIR/secrets`";
const REQUIRED: &str = "required";
const SECRET: &str = "at least 32 random bytes";

/// Every setting.
pub const REFERENCE: &[Section] = &[
    Section {
        title: "The process",
        settings: &[
            Setting::new(
                "HIVESYNC_ENV",
                "`local`, `staging` or `production`",
                "`local`",
                "What the boot guard insists on. Local mode is for one's own machine: plaintext on loopback, generated \
                 secrets, `file://` repositories, reflection.",
            ),
            Setting::new(
                "DATA_DIR",
                "a directory",
                "`hivesync` in `XDG_DATA_HOME` or `~/.local/share`",
                "Mirrors, local objects and generated secrets. Belongs to this user alone (mode 0700) and to one \
                 environment.",
            ),
            Setting::new("DRAIN_SECS", "seconds", "`20`", "How long calls may go on after SIGTERM."),
        ],
    },
    Section {
        title: "Stores",
        settings: &[
            Setting::new(
                "DATABASE_URL",
                "`sqlite:///…` or `postgres://…`",
                "`hivesync.db` in `DATA_DIR`",
                "The database.",
            )
            .elsewhere("required: PostgreSQL; in production with `sslmode=verify-full`")
            .secret(),
            Setting::new("DATABASE_CONNECTIONS_MAX", "a number", "`16`", "Connections to it at most."),
            Setting::new(
                "REDIS_URL",
                "`redis://…` or `rediss://…`",
                "none: in memory",
                "Limits, replay stores and wake-ups, shared by all servers: Redis or Valkey.",
            )
            .elsewhere("required; in production `rediss://` with a password")
            .secret(),
            Setting::new(
                "OBJECT_STORE_URL",
                "`file:///…` or `s3://bucket?endpoint=…&region=…`",
                "`blobs` in `DATA_DIR`",
                "Where the files of previews are kept.",
            ),
            Setting::new("AWS_ACCESS_KEY_ID", "text", NONE, "Who asks the S3 service."),
            Setting::new("AWS_SECRET_ACCESS_KEY", "text", NONE, "What signs the requests to it.").secret(),
            Setting::new(
                "ALLOW_EMBEDDED_STORES",
                "`true` or `false`",
                "`false`",
                "Accept SQLite and keys in memory outside of local mode: for a single server.",
            ),
        ],
    },
    Section {
        title: "Listeners",
        settings: &[
            Setting::new("LISTEN_ADDR", "address and port", "`127.0.0.1:7440`", "Where everybody connects."),
            Setting::new(
                "WORKER_LISTEN_ADDR",
                "address and port",
                "`127.0.0.1:7441`",
                "Where workers connect.",
            ),
            Setting::new(
                "ADMIN_LISTEN_ADDR",
                "address and port",
                "`127.0.0.1:7442`",
                "Where operators connect.",
            ),
            Setting::new(
                "METRICS_LISTEN_ADDR",
                "address and port",
                "`127.0.0.1:7443`",
                "Where Prometheus and probes connect: `/metrics`, `/livez`, `/readyz`, `/health`.",
            ),
            Setting::new(
                "PUBLIC_URL",
                "an address",
                "made of `LISTEN_ADDR`",
                "How clients reach the public listener. Proofs of devices name it.",
            )
            .elsewhere("required: `https://…`"),
            Setting::new(
                "TLS_CERT_FILE",
                "a PEM file",
                NONE,
                "The certificate chain, leaf first. Read again when it changes.",
            )
            .elsewhere("required, unless a proxy speaks TLS"),
            Setting::new("TLS_KEY_FILE", "a PEM file", NONE, "Its private key.")
                .elsewhere("required, unless a proxy speaks TLS"),
            Setting::new(
                "TLS_TERMINATED_BY_PROXY",
                "`true` or `false`",
                "`false`",
                "A proxy in front speaks TLS; together with `TRUSTED_PROXIES`.",
            ),
            Setting::new(
                "TRUSTED_PROXIES",
                "networks, by commas",
                NONE,
                "Whose forwarded headers and correlation IDs count.",
            ),
            Setting::new(
                "FORWARDED_HEADER",
                "`x-forwarded-for` or `forwarded`",
                "`x-forwarded-for`",
                "Which header of theirs carries the client's address.",
            ),
            Setting::new("DENIED_NETWORKS", "networks, by commas", NONE, "Whose calls are refused."),
            Setting::new(
                "CORS_ORIGINS",
                "exact origins, by commas",
                NONE,
                "Whose pages may call; outside of local mode with `https://`.",
            ),
        ],
    },
    Section {
        title: "Secrets",
        settings: &[
            Setting::new(
                "JWT_SECRET",
                SECRET,
                GENERATED,
                "Signs access tokens with HS256, unless `JWT_KEYS_DIR` is set.",
            )
            .elsewhere(REQUIRED)
            .secret(),
            Setting::new(
                "JWT_KEYS_DIR",
                "a directory of PEM files",
                NONE,
                "Keys named `<kid>.pem` (EdDSA, ES256, RS256); the last by name signs, all verify.",
            ),
            Setting::new(
                "FIELD_KEY",
                SECRET,
                GENERATED,
                "The root of the keys that seal fields and digest addresses.",
            )
            .elsewhere(REQUIRED)
            .secret(),
            Setting::new("PREVIEW_KEY", SECRET, GENERATED, "Seals preview tokens.")
                .elsewhere(REQUIRED)
                .secret(),
            Setting::new(
                "PREVIEW_KEY_PREVIOUS",
                SECRET,
                NONE,
                "Opens the tokens that were sealed before `PREVIEW_KEY` was replaced.",
            )
            .secret(),
            Setting::new("WORKER_SHARED_SECRET", SECRET, GENERATED, "What workers prove to know.")
                .elsewhere(REQUIRED)
                .secret(),
        ],
    },
    Section {
        title: "Sign-in",
        settings: &[
            Setting::new("JWT_ISSUER", "text", "`hivesync`", "The `iss` of access tokens."),
            Setting::new("JWT_AUDIENCE", "text", "`hivesync-api`", "The `aud` of access tokens."),
            Setting::new("ACCESS_TOKEN_SECS", "1 to 900", "`900`", "How long an access token lives."),
            Setting::new(
                "PASSWORD_MEMORY_KIB",
                "19456 or more",
                "`19456`",
                "The memory of Argon2id, in KiB.",
            ),
            Setting::new("PASSWORD_ITERATIONS", "2 or more", "`2`", "The passes of Argon2id."),
        ],
    },
    Section {
        title: "Limits",
        settings: &[
            Setting::new("MESSAGE_BYTES_MAX", "bytes", "`4194304`", "The largest message accepted."),
            Setting::new(
                "CALLS_MAX",
                "a number",
                "`4096`",
                "Calls at work at the same time; a quarter of them from one address.",
            ),
            Setting::new("MIRROR_BYTES_MAX", "bytes", "`2147483648`", "The quota of one mirror."),
            Setting::new(
                "REPOSITORY_PORTS",
                "ports, by commas",
                NONE,
                "Ports beside 443 that repositories may be linked at; workers take the same setting.",
            ),
            Setting::new("RATE_LIMITS", "`on` or `off`", "`on`", "Rate limits; `off` in local mode only."),
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::config::{Config, Source};

    fn settings() -> impl Iterator<Item = &'static Setting> {
        REFERENCE.iter().flat_map(|section| section.settings)
    }

    /// A configuration in a directory of its own, and the names that were asked for.
    fn read(directory: &tempfile::TempDir, changes: &[(&str, &str)]) -> (String, BTreeSet<String>) {
        let source = Source::default().with("DATA_DIR", directory.path().to_str().unwrap());
        let source = changes.iter().fold(source, |source, (name, value)| source.with(name, *value));
        let config = Config::read(&source).unwrap_or_else(|faults| panic!("{changes:?}: {faults:?}"));
        (format!("{config:?}"), source.asked())
    }

    #[test]
    fn what_is_read_is_in_the_reference_and_the_other_way_round() {
        let directory = tempfile::tempdir().unwrap();
        let (_, asked) = read(&directory, &[]);
        let mut known: BTreeSet<String> = settings().map(|setting| setting.name.to_owned()).collect();
        assert_eq!(known.len(), settings().count(), "a setting stands twice");
        known.extend(
            settings().filter(|setting| setting.is_secret).map(|setting| format!("{}_FILE", setting.name)),
        );
        assert_eq!(asked, known);
    }

    #[test]
    fn the_defaults_are_what_the_reference_says() {
        let directory = tempfile::tempdir().unwrap();
        let (without, _) = read(&directory, &[]);
        let mut checked = 0;
        for setting in settings() {
            let value = setting.local.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
            let Some(value) = value.filter(|value| !value.contains('`')) else { continue };
            assert_eq!(read(&directory, &[(setting.name, value)]).0, without, "{}", setting.name);
            checked += 1;
        }
        assert!(checked > 15, "only {checked} defaults were compared");
    }
}
