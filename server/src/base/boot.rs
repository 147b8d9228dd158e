//! The boot guard: what must hold before the server opens a port. `serve` and `check` run the same list.

use std::{collections::HashSet, fs, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use rustix::fs::Access;
use url::Url;

use super::{
    config::{Config, ENVIRONMENT_MARKER, Environment, Fault, SECRET_BYTES_MIN, Source},
    secret::Secret,
};

/// The longest life of an access token.
const ACCESS_TOKEN_LIFE_MAX: Duration = Duration::from_secs(900);
/// The least memory and passes of Argon2id (OWASP Password Storage Cheat Sheet: 19 MiB, 2 passes).
const PASSWORD_MEMORY_KIB_MIN: u32 = 19 * 1024;
const PASSWORD_ITERATIONS_MIN: u32 = 2;

/// Words that give a placeholder away.
const PLACEHOLDERS: [&str; 8] =
    ["changeme", "change-me", "placeholder", "password", "secret", "example", "default", "replace"];

/// What is wrong with the directory of a local server that has never started in it; nothing if this is no such server,
/// or has. Reading its whole configuration would already make the directory.
#[must_use]
pub fn first_local_start(source: &Source) -> Option<Vec<Fault>> {
    let (environment, data_dir, mut faults) = Config::place(source);
    if !environment.is_local() || data_dir.join(ENVIRONMENT_MARKER).exists() {
        return None;
    }
    check_data_dir(environment, &data_dir, &mut faults);
    let place = data_dir.ancestors().find(|place| place.exists());
    let may_write = |place: &Path| rustix::fs::access(place, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    if faults.is_empty() && place.is_some_and(|place| !place.is_dir() || !may_write(place)) {
        faults.push(Fault::new("DATA_DIR", "cannot be made", "name a directory of this user's own"));
    }
    Some(faults)
}

/// Reads the configuration and checks it.
///
/// # Errors
/// Everything that is wrong with it, at once: each setting's first fault.
pub fn configure(source: &Source) -> Result<Config, Vec<Fault>> {
    let (config, mut faults) = Config::read_leniently(source);
    for fault in check(&config) {
        if !faults.iter().any(|earlier| earlier.name == fault.name) {
            faults.push(fault);
        }
    }
    if faults.is_empty() { Ok(config) } else { Err(faults) }
}

/// Everything that is wrong with `config`: each fault with its mend, none with a value.
#[must_use]
pub fn check(config: &Config) -> Vec<Fault> {
    let mut faults = Vec::new();
    check_secrets(config, &mut faults);
    check_tokens(config, &mut faults);
    check_data_dir(config.environment, &config.data_dir, &mut faults);
    check_proxies(config, &mut faults);
    if config.environment.is_local() {
        check_seclusion(config, &mut faults);
    } else {
        check_exposure(config, &mut faults);
        check_stores(config, &mut faults);
    }
    faults
}

fn secrets(config: &Config) -> Vec<(&'static str, &Secret)> {
    let mut secrets =
        vec![("WORKER_SHARED_SECRET", &config.worker_shared_secret), ("FIELD_KEY", &config.field_key)];
    secrets.extend(config.tokens.secret.as_ref().map(|secret| ("JWT_SECRET", secret)));
    secrets.extend(["PREVIEW_KEY", "PREVIEW_KEY_PREVIOUS"].into_iter().zip(&config.preview_keys));
    secrets
}

fn check_secrets(config: &Config, faults: &mut Vec<Fault>) {
    let mend = "set it to at least 32 random bytes, such as the output of `openssl rand -base64 48`";
    let mut seen: Vec<(&str, &Secret)> = Vec::new();
    for (name, secret) in secrets(config) {
        let bytes = secret.expose();
        let lower = String::from_utf8_lossy(bytes).to_ascii_lowercase();
        let distinct: HashSet<u8> = bytes.iter().copied().collect();
        if bytes.len() < SECRET_BYTES_MIN {
            faults.push(Fault::new(name, "is shorter than 32 bytes", mend));
        } else if distinct.len() < 12 {
            faults.push(Fault::new(name, "has too few different bytes to be random", mend));
        } else if PLACEHOLDERS.iter().any(|word| lower.contains(word)) {
            faults.push(Fault::new(name, "looks like a placeholder", mend));
        }
        if let Some((other, _)) = seen.iter().find(|(_, earlier)| earlier.expose() == bytes) {
            faults.push(Fault::new(
                name,
                format!("is the same as {other}"),
                "use a secret of its own for each purpose",
            ));
        }
        seen.push((name, secret));
    }
}

fn check_tokens(config: &Config, faults: &mut Vec<Fault>) {
    if config.tokens.life > ACCESS_TOKEN_LIFE_MAX || config.tokens.life.is_zero() {
        faults.push(Fault::new("ACCESS_TOKEN_SECS", "is not 1 to 900", "set it to at most 900"));
    }
    let cost = config.password;
    if cost.memory_kib < PASSWORD_MEMORY_KIB_MIN || cost.iterations < PASSWORD_ITERATIONS_MIN {
        faults.push(Fault::new(
            "PASSWORD_MEMORY_KIB",
            "or PASSWORD_ITERATIONS is below the floor of 19,456 KiB and 2 passes",
            "raise them, or leave them out",
        ));
    }
}

fn check_data_dir(environment: Environment, data_dir: &Path, faults: &mut Vec<Fault>) {
    let Ok(metadata) = fs::symlink_metadata(data_dir) else { return };
    if !metadata.is_dir() {
        faults.push(Fault::new("DATA_DIR", "is not a directory", "name a directory of this user's own"));
    } else if metadata.mode() & 0o077 != 0 {
        faults.push(Fault::new("DATA_DIR", "can be read by others", "run `chmod 700` on it"));
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        faults.push(Fault::new("DATA_DIR", "belongs to another user", "run `chown` on it, or name another"));
    }
    let marker = data_dir.join(ENVIRONMENT_MARKER);
    match fs::read_to_string(marker) {
        Ok(other) if other.trim() != environment.as_str() => faults.push(Fault::new(
            "DATA_DIR",
            "was made for another environment",
            "give each environment a directory of its own",
        )),
        _ => {}
    }
}

fn check_proxies(config: &Config, faults: &mut Vec<Fault>) {
    if config.trusted_proxies.iter().any(|network| network.prefix_len() == 0) {
        faults.push(Fault::new("TRUSTED_PROXIES", "trusts every address", "name the proxies' own networks"));
    }
}

/// Local mode is the default, speaks plaintext and mirrors directories of this machine: not for others.
fn check_seclusion(config: &Config, faults: &mut Vec<Fault>) {
    let listen = config.listen;
    for (name, address) in [
        ("LISTEN_ADDR", listen.public),
        ("WORKER_LISTEN_ADDR", listen.worker),
        ("ADMIN_LISTEN_ADDR", listen.admin),
        ("METRICS_LISTEN_ADDR", listen.metrics),
    ] {
        if !address.ip().to_canonical().is_loopback() {
            faults.push(Fault::new(
                name,
                "can be reached from other machines in local mode",
                "listen on 127.0.0.1, or set HIVESYNC_ENV to staging or production",
            ));
        }
    }
}

fn check_exposure(config: &Config, faults: &mut Vec<Fault>) {
    let proxied = config.tls_terminated_by_proxy && !config.trusted_proxies.is_empty();
    if config.tls.is_none() && !proxied {
        faults.push(Fault::new(
            "TLS_CERT_FILE",
            "is missing, and the public listener would speak plaintext",
            "set TLS_CERT_FILE and TLS_KEY_FILE, or TLS_TERMINATED_BY_PROXY together with TRUSTED_PROXIES",
        ));
    }
    let origin_is_exact =
        |origin: &String| origin.starts_with("https://") && !origin.contains('*') && !origin.ends_with('/');
    if !config.cors_origins.iter().all(origin_is_exact) {
        faults.push(Fault::new(
            "CORS_ORIGINS",
            "holds something else than exact https origins",
            "list them like https://app.example.org, without wildcards and paths",
        ));
    }
    if config.public_url.as_ref().is_none_or(|url| url.scheme() != "https") {
        faults.push(Fault::new("PUBLIC_URL", "is not an https address", "set it to what clients connect to"));
    }
    if !config.limits.rate_limits {
        faults.push(Fault::new("RATE_LIMITS", "is off outside of local mode", "remove it"));
    }
}

fn check_stores(config: &Config, faults: &mut Vec<Fault>) {
    let production = config.environment == Environment::Production;
    let database = config.database.url.expose();
    if database.starts_with("sqlite:") && !config.allow_embedded_stores {
        faults.push(Fault::new(
            "DATABASE_URL",
            "is missing or names SQLite",
            "name a PostgreSQL database, or set ALLOW_EMBEDDED_STORES=true for a single server",
        ));
    } else if production && !database.starts_with("sqlite:") && !verifies_tls(database) {
        faults.push(Fault::new(
            "DATABASE_URL",
            "does not insist on verified TLS",
            "add sslmode=verify-full (and sslrootcert for a private authority)",
        ));
    }
    if production && config.object_store.url.contains("endpoint=http://") {
        faults.push(Fault::new(
            "OBJECT_STORE_URL",
            "names an endpoint without TLS",
            "write its endpoint with https://",
        ));
    }
    match config.redis_url.as_ref().map(|url| url.expose()) {
        None if !config.allow_embedded_stores => faults.push(Fault::new(
            "REDIS_URL",
            "is missing",
            "name a Redis or Valkey server, or set ALLOW_EMBEDDED_STORES=true for a single server",
        )),
        Some(url) if production && !is_guarded_redis(url) => {
            faults.push(Fault::new(
                "REDIS_URL",
                "has no TLS or no password",
                "write it rediss://:password@host",
            ));
        }
        _ => {}
    }
}

fn is_guarded_redis(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.scheme() == "rediss" && url.password().is_some())
}

fn verifies_tls(url: &str) -> bool {
    url.contains("sslmode=verify-full") || url.contains("sslmode=verify-ca")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRETS: [(&str, &str); 4] = [
        ("JWT_SECRET", "kT9vQ2mXw7RzL4bN8cJ1hF6yD3sG5pAe0uVtIoYx"),
        ("WORKER_SHARED_SECRET", "Zq8Wn5Xe2Rc7Tv4Yb1Um6Ik3Ol0Pa9SdFgHjKlMz"),
        ("FIELD_KEY", "mN4bV7cX1zL9kJ6hG3fD8sA5pO2iU0yTrEwQqWeR"),
        ("PREVIEW_KEY", "Pl5oK9mI2jN8uH4bY7gV1cT6fR3dX0eS5wZaQqAz"),
    ];

    /// A configuration without a fault, with `changes` made to it.
    fn source(environment: &str, changes: &[(&str, &str)]) -> Source {
        let mut source = Source::default()
            .with("HIVESYNC_ENV", environment)
            .with("DATA_DIR", "/nonexistent/hivesync")
            .with("DATABASE_URL", "postgres://app:s3cr3tpassword@db/hivesync?sslmode=verify-full")
            .with("REDIS_URL", "rediss://app:s3cr3tpassword@keys")
            .with("PUBLIC_URL", "https://hivesync.example")
            .with("TLS_TERMINATED_BY_PROXY", "true")
            .with("TRUSTED_PROXIES", "10.0.0.0/8");
        for (name, value) in SECRETS.iter().chain(changes) {
            source = source.with(name, *value);
        }
        source
    }

    fn faulty(environment: &str, changes: &[(&str, &str)]) -> Vec<Fault> {
        configure(&source(environment, changes)).err().unwrap_or_default()
    }

    #[test]
    fn a_good_configuration_has_no_fault() {
        assert_eq!(faulty("production", &[]), Vec::new());
        assert_eq!(faulty("staging", &[]), Vec::new());
    }

    #[test]
    fn each_weakness_is_named_with_its_mend() {
        for (name, value) in [
            ("JWT_SECRET", ""),
            ("JWT_SECRET", "short"),
            ("JWT_SECRET", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            ("JWT_SECRET", "changeme-changeme-0123456789-ABCDEFGHIJ"),
            ("FIELD_KEY", "Zq8Wn5Xe2Rc7Tv4Yb1Um6Ik3Ol0Pa9SdFgHjKlMz"),
            ("ACCESS_TOKEN_SECS", "901"),
            ("PASSWORD_MEMORY_KIB", "1024"),
            ("CORS_ORIGINS", "*"),
            ("CORS_ORIGINS", "http://app.example"),
            ("TRUSTED_PROXIES", "0.0.0.0/0"),
            ("PUBLIC_URL", "http://hivesync.example"),
            ("RATE_LIMITS", "off"),
            ("DATABASE_URL", ""),
            ("DATABASE_URL", "postgres://app:s3cr3tpassword@db/hivesync"),
            ("REDIS_URL", ""),
            ("REDIS_URL", "redis://app:s3cr3tpassword@keys"),
            ("REDIS_URL", "rediss://keys"),
            ("REDIS_URL", "rediss://app@keys"),
            ("OBJECT_STORE_URL", "s3://bucket?endpoint=http://store&region=x"),
            ("LISTEN_ADDR", "everywhere"),
        ] {
            let faults = faulty("production", &[(name, value)]);
            assert!(
                faults.iter().any(|fault| fault.name == name && !fault.mend.is_empty()),
                "{name}={value}"
            );
        }
        let plaintext = faulty("production", &[("TLS_TERMINATED_BY_PROXY", "false")]);
        assert!(plaintext.iter().any(|fault| fault.name == "TLS_CERT_FILE"));
    }

    #[test]
    fn local_mode_is_for_this_machine() {
        for address in ["0.0.0.0:7440", "[::]:7440", "192.0.2.7:7440"] {
            let faults = faulty("local", &[("LISTEN_ADDR", address)]);
            assert_eq!(faults.iter().map(|fault| fault.name.as_str()).collect::<Vec<_>>(), ["LISTEN_ADDR"]);
        }
        assert_eq!(faulty("local", &[("LISTEN_ADDR", "[::1]:7440")]), Vec::new());
        assert_eq!(faulty("production", &[("LISTEN_ADDR", "0.0.0.0:443")]), Vec::new());
    }

    #[test]
    fn all_faults_come_at_once_and_none_holds_a_value() {
        let secret = "s3cr3tpassword";
        let faults = faulty(
            "production",
            &[("JWT_SECRET", ""), ("REDIS_URL", "redis://app:s3cr3tpassword@keys"), ("CORS_ORIGINS", "*")],
        );
        let names: Vec<_> = faults.iter().map(|fault| fault.name.as_str()).collect();
        assert_eq!(names, ["JWT_SECRET", "CORS_ORIGINS", "REDIS_URL"]);
        assert!(!format!("{faults:?}").contains(secret));
    }

    #[test]
    fn a_data_directory_is_its_owners_and_one_environments() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_string_lossy().into_owned();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(faulty("production", &[("DATA_DIR", &path)])[0].name, "DATA_DIR");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(faulty("production", &[("DATA_DIR", &path)]), Vec::new());
        fs::write(directory.path().join("environment"), "local").unwrap();
        assert_eq!(faulty("production", &[("DATA_DIR", &path)])[0].name, "DATA_DIR");
    }
}
