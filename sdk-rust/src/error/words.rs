//! What an error says to a user: what happened, and what to do next.

use std::fmt;

use super::{Error, ErrorKind, ErrorReason, SignedOutReason, StorageErrorKind, status::Violation};

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(sentence) = &self.0.sentence {
            return f.write_str(sentence);
        }
        match self.reason().and_then(words_of_reason) {
            Some((what, advice)) => write!(f, "{what} {advice}")?,
            None => self.write_kind(f)?,
        }
        match (self.job_id(), self.kind()) {
            // The number to report is the job's then.
            (None, _) | (_, ErrorKind::Internal { .. }) => Ok(()),
            (Some(id), _) => write!(f, " The job is {id}."),
        }
    }
}

impl Error {
    /// The sentence that belongs to the kind.
    fn write_kind(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            ErrorKind::Cancelled => f.write_str("It was cancelled."),
            ErrorKind::Offline => {
                f.write_str("The server cannot be reached. Check its address and the network.")
            }
            ErrorKind::Timeout => {
                f.write_str("The server did not answer in time. Look whether it took effect, then try again.")
            }
            ErrorKind::SignedOut { reason: SignedOutReason::NotSignedIn } => {
                f.write_str("Nobody is signed in. Sign in first.")
            }
            ErrorKind::SignedOut { .. } => f.write_str("The session has ended. Sign in again."),
            ErrorKind::Forbidden => {
                f.write_str("It does not exist, or you may not do this. Ask an admin of the team.")
            }
            ErrorKind::LimitReached { resets_at: Some(at) } => {
                write!(f, "A limit of the plan is reached. There is more at {at}.")
            }
            ErrorKind::LimitReached { .. } => {
                f.write_str("A limit of the plan is reached. Free something or change the plan.")
            }
            ErrorKind::RateLimited { retry_after } => {
                write!(f, "Too many calls. Try again in {} s.", retry_after.as_secs().max(1))
            }
            ErrorKind::InvalidRequest { fields } if fields.is_empty() => {
                f.write_str("The request is not valid. Correct it and try again.")
            }
            ErrorKind::InvalidRequest { fields } => {
                write!(f, "The request is not valid. Correct {} and try again.", fields.join(", "))
            }
            ErrorKind::Conflict => {
                f.write_str("Its present state does not allow this. Look at it again, then decide.")
            }
            ErrorKind::Unavailable => {
                f.write_str("The server cannot do this at the moment. Try again later.")
            }
            ErrorKind::Storage { kind: StorageErrorKind::Locked } => f.write_str(
                "The key store is locked. Unlock it, or give its right passphrase, and try again.",
            ),
            ErrorKind::Storage { kind: StorageErrorKind::File } => f.write_str(
                "A file could not be read or written. Check its path, its permissions and the free space.",
            ),
            ErrorKind::Storage { .. } => {
                f.write_str("The key store cannot be used. Repair it, or sign in without it.")
            }
            ErrorKind::UpgradeRequired => {
                f.write_str("This client and the server do not understand each other. Bring both up to date.")
            }
            ErrorKind::Internal { incident } => {
                write!(f, "Something went wrong. Report it with the number {incident}.")
            }
        }
    }
}

/// What is wrong with which field. A field that breaks several rules is named once.
pub(super) fn sentence_of(reason: Option<ErrorReason>, violations: &[Violation]) -> String {
    let what = reason.and_then(words_of_reason).map_or("The request is not valid.", |(what, _)| what);
    let mut sentence = what.to_owned();
    let mut before = None;
    for Violation { field, description } in violations {
        match before {
            Some(before) if before == field => sentence.push_str("; "),
            Some(_) => sentence.push_str(&format!("; {field}: ")),
            None => sentence.push_str(&format!(" {field}: ")),
        }
        sentence.push_str(description);
        before = Some(field);
    }
    sentence.push('.');
    sentence
}

/// What happened, and what to do next, each as a sentence.
fn words_of_reason(reason: ErrorReason) -> Option<(&'static str, &'static str)> {
    use ErrorReason as R;
    Some(match reason {
        R::InvalidCredentials => {
            ("The e-mail address and the password do not open an account.", "Check both.")
        }
        R::InvalidDeviceProof => {
            ("The device could not prove its key.", "Set its clock right, or sign in anew.")
        }
        R::NotFound => ("It does not exist, or it is not yours.", "Check its id or name, and the account."),
        R::PermissionDenied => ("You may not do this.", "Ask an admin of the team."),
        R::AlreadyExists => ("Something with this name exists already.", "Choose another name."),
        R::PasswordPolicy => (
            "The password is too weak.",
            "Use 12 to 256 characters with an upper-case and a lower-case letter, a digit and a symbol, and none that was ever leaked.",
        ),
        R::InvalidRepositoryUrl => {
            ("The repository address is not acceptable.", "Use https:// without a password in it.")
        }
        R::RepositoryNotReady => ("The repository was not synced yet.", "Link it and run a sync first."),
        R::RepositoryUnreachable => (
            "The repository could not be fetched.",
            "Check its address and that it can be read without a password.",
        ),
        R::RepositoryRejected => (
            "The repository is too large, or holds something that is refused.",
            "Make it smaller, or see what `git fsck` says of it.",
        ),
        R::InvalidPath => {
            ("The path breaks the rules for repository paths.", "Correct it, or rename the file.")
        }
        R::InvalidManifest => {
            ("The bundle breaks a rule.", "Look for files whose names differ only in case.")
        }
        R::BundleTooLarge => ("The bundle is too large.", "Exclude files by an ignore file."),
        R::BundleIncomplete => {
            ("Files of the bundle are missing or changed while they were sent.", "Publish again.")
        }
        R::InvalidPreviewToken => ("The token does not open a preview on this device.", "Ask for a new one."),
        R::MessageTooLarge => ("The request is too large.", "Send less at a time."),
        R::InvalidPageToken => ("The list cannot be continued from here.", "Start it again."),
        R::Conflict => ("It changed meanwhile, or does not allow this.", "Look at it again, then decide."),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};
    use tonic_types::{ErrorDetails, StatusExt as _};
    use uuid::Uuid;

    use super::{super::status::DOMAIN, *};

    fn refused(reason: &str, violations: &[(&str, &str)]) -> Error {
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, []);
        for (field, description) in violations {
            details.add_bad_request_violation(*field, *description);
        }
        Error::from_status(&Status::with_error_details(Code::InvalidArgument, "for operators only", details))
    }

    #[test]
    fn what_is_wrong_with_a_field_is_said() {
        let error = refused("INVALID_REQUEST", &[("name", "must be short"), ("name", "must be kind")]);
        assert_eq!(error.to_string(), "The request is not valid. name: must be short; must be kind.");
        let error = refused("INVALID_PATH", &[("path", "is odd"), ("commit", "is old")]);
        let breaks = "The path breaks the rules for repository paths.";
        assert_eq!(error.to_string(), format!("{breaks} path: is odd; commit: is old."));
        assert_eq!(error.kind(), &ErrorKind::InvalidRequest { fields: vec!["path".into(), "commit".into()] });
        assert!(refused("INVALID_PATH", &[]).to_string().starts_with(breaks));
    }

    #[test]
    fn what_a_server_says_is_short_and_drives_no_terminal() {
        let long = "x".repeat(10_000);
        let violations = vec![(long.as_str(), "\x1b]0;owned\x07\n\u{202e}evil"); 100];
        let shown = refused("INVALID_REQUEST", &violations).to_string();
        assert!(shown.len() < 1_000 && shown.ends_with("]0;ownedevil."), "{shown:?}");
        let shown = refused("NOT_FOUND", &[("id", "is secret")]).to_string();
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_failed_job_names_itself() {
        let id = Uuid::from_u128(7);
        let error = Error::of_job(ErrorReason::RepositoryUnreachable, id);
        assert_eq!((error.kind(), error.job_id()), (&ErrorKind::Conflict, Some(id)));
        assert!(error.to_string().ends_with(&format!(" The job is {id}.")) && !error.is_transient());
        let error = Error::of_job(ErrorReason::Internal, id);
        assert_eq!(error.to_string(), format!("Something went wrong. Report it with the number {id}."));
    }
}
