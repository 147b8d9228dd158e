//! What kinds of machines there are.

use crate::client_enum::client_enum;

client_enum! {
    /// What kind of machine a device is, or a bundle is for.
    Platform = hivesync::auth::Platform {
        /// A desktop computer.
        Desktop,
        /// An iPhone or iPad.
        Ios,
        /// An Android device.
        Android,
        /// A browser.
        Web,
    }
}

impl From<Platform> for hivesync::auth::Platform {
    fn from(platform: Platform) -> Self {
        match platform {
            Platform::Desktop => Self::Desktop,
            Platform::Ios => Self::Ios,
            Platform::Android => Self::Android,
            Platform::Web => Self::Web,
            Platform::Unknown => Self::Unknown,
        }
    }
}
