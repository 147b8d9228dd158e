//! The clients of the demonstration, each with a device key and a session of its own.

use std::sync::Arc;

use anyhow::Result;
use hivesync_sdk::{Client, Secret, auth::Platform, keychain::MemoryStore};
use hivesync_server::base::entropy::Entropy;
use uuid::Uuid;

/// The clients of one user.
pub(super) struct Actors {
    /// Publishes.
    pub(super) desktop: Client,
    /// Opens.
    pub(super) phone: Client,
    /// Is not meant to open anything.
    pub(super) other_device: Client,
    /// The phone's device.
    pub(super) phone_device: Uuid,
}

impl Actors {
    /// Registers a user, and signs in on three devices.
    pub(super) async fn sign_in(url: &str) -> Result<Self> {
        let desktop = client(url, "Ada's desktop", Platform::Desktop).await?;
        let phone = client(url, "Ada's phone", Platform::Ios).await?;
        let other_device = client(url, "Another phone", Platform::Android).await?;
        let email = "ada@demo.example";
        let password = password()?;
        desktop.auth().register(email, &password, "Ada").await?;
        desktop.auth().login(email, &password).await?;
        let account = phone.auth().login(email, &password).await?;
        other_device.auth().login(email, &password).await?;
        Ok(Self { desktop, phone, other_device, phone_device: account.device_id })
    }
}

async fn client(url: &str, name: &str, platform: Platform) -> Result<Client> {
    let store = Arc::new(MemoryStore::new());
    Ok(Client::builder(url).secret_store(store).device_name(name).platform(platform).build().await?)
}

/// A random password that satisfies the policy.
fn password() -> Result<Secret> {
    let random: [u8; 16] = Entropy::default().bytes()?;
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Secret::new(format!("Aa1!{hex}")))
}
