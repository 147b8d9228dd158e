//! The record of refused access, which no transaction of a service can leave.

use tonic::Code;

use crate::{
    base::{ctx::Ctx, status},
    domain::audit::{self, Entry, Outcome},
};

/// Records that a call was refused because the caller may not do it, or because it is not the caller's;
/// other answers are not recorded here. A log that cannot be written to is itself logged, and does not
/// change the answer.
pub(super) async fn record_refusal(ctx: &Ctx, code: Code) {
    if !matches!(code, Code::PermissionDenied | Code::NotFound) {
        return;
    }
    let entry = Entry::new("access.refused").outcome(Outcome::Refused);
    if let Err(error) = audit::record(ctx, entry).await {
        status::log_call(&error, &ctx.call.correlation, ctx.call.route);
    }
}
