//! Enums of the client, as the other languages get them.

/// Declares an enum that has the same variants as one of the client, and `Unknown`.
macro_rules! client_enum {
    ($(#[$doc:meta])* $name:ident = $client:path { $($(#[$variant_doc:meta])* $variant:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A value that this version does not know.
            Unknown,
        }

        impl From<$client> for $name {
            fn from(value: $client) -> Self {
                use $client as Client;
                match value {
                    $(Client::$variant => Self::$variant,)+
                    _ => Self::Unknown,
                }
            }
        }
    };
}
pub(crate) use client_enum;
