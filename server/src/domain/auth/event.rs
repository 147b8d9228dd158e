//! What happens here that others are told.

use serde::{Deserialize, Serialize};

use crate::base::{
    ids::{DeviceId, SessionId, UserId},
    outbox::Event,
};

/// Somebody signed in on a device for the first time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceAdded {
    /// Whose device it is.
    pub user: UserId,
    /// The device.
    pub device: DeviceId,
    /// What it calls itself.
    pub name: String,
}

impl Event for DeviceAdded {
    const KIND: &'static str = "auth.device_added";
}

/// A refresh token was used by somebody who should not have it, and its session was ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshReused {
    /// Whose session it was.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
    /// The device that the session was bound to.
    pub device: DeviceId,
}

impl Event for RefreshReused {
    const KIND: &'static str = "auth.refresh_reused";
}
