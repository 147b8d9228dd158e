//! What kinds of machines there are.

use crate::wire::wire_enum;

wire_enum! {
    /// What kind of machine a device is.
    Platform = Platform {
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
