//! Devices: clients that hold a key of their own.

use crate::base::{
    clock::Timestamp,
    ctx::ProvenKey,
    ids::{DeviceId, UserId},
};

/// What kind of machine a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// A desktop computer.
    Desktop,
    /// A phone or tablet with iOS.
    Ios,
    /// A phone or tablet with Android.
    Android,
    /// A browser.
    Web,
}

impl Platform {
    const ALL: [Self; 4] = [Self::Desktop, Self::Ios, Self::Android, Self::Web];

    /// How the platform is written in rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Ios => "ios",
            Self::Android => "android",
            Self::Web => "web",
        }
    }

    /// Reads what [`Platform::as_str`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|platform| platform.as_str() == text)
    }
}

/// A client that holds a key of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Identifies the device.
    pub id: DeviceId,
    /// Whose it is.
    pub user: UserId,
    /// Its public key.
    pub key: ProvenKey,
    /// What it calls itself.
    pub name: String,
    /// What kind of machine it is.
    pub platform: Platform,
    /// When it first signed in.
    pub created_at: Timestamp,
    /// When it last proved its key.
    pub seen_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}
