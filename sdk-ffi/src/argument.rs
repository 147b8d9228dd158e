//! What the other languages pass as text.

use uuid::Uuid;

use crate::error::HiveSyncError;

/// The identifier in an argument called `field`.
pub(crate) fn id(field: &str, text: &str) -> Result<Uuid, HiveSyncError> {
    Uuid::try_parse(text)
        .map_err(|_| HiveSyncError::invalid(field, &format!("The {field} is not an identifier.")))
}

/// As [`id`], where there may be none.
pub(crate) fn optional_id(field: &str, text: Option<&str>) -> Result<Option<Uuid>, HiveSyncError> {
    text.map(|text| id(field, text)).transpose()
}
