//! Whoever is asked about a refused call finds it in the log, as it is written by default, by the ID that the user sees.

use hivesync_proto::v1::{self as pb, ErrorReason as Reason};
use hivesync_tests::{
    backend::Backend,
    caller::{Caller, login},
    process::Installation,
    wire::{Refusal, refused},
};
use serde_json::Value;
use tonic::Status;
use uuid::Uuid;

/// Must be in no line.
const CANARY: &str = "canary-of-a-refused-call";

#[tokio::test]
async fn the_log_explains_every_refusal_once() {
    let installation = Installation::start_with_default_log(Backend::Embedded).await;
    let ada = Caller::join(installation.wire().await, "ada").await;
    let refusals = [
        (refused(link(&ada, &format!("ftp://{CANARY}.example.com/site")).await), Some("repository_url: ")),
        (refused(link(&ada, "https://127.0.0.1/site").await), Some("an IP address")),
        (refused(show(&ada, &Uuid::new_v4().to_string()).await), None),
        (refused(show(&ada, CANARY).await), Some("project_id: ")),
        (refused(open(&ada).await), None),
        (refused(login(&ada.wire, &ada.email, CANARY, &ada.device).await), None),
    ];
    let log = installation.log_of("hivesync");
    assert!(!log.contains(CANARY), "{log}");
    for (Refusal { reason, correlation_id, .. }, blamed) in &refusals {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(correlation_id.as_str())).collect();
        let [line] = lines[..] else { panic!("{reason:?}: {lines:?}") };
        let line: Value = serde_json::from_str(line).expect("a line is a document");
        assert_eq!(line["event"], "call.refused", "{line}");
        assert_eq!(reason.as_str_name(), format!("ERROR_REASON_{}", line["reason"].as_str().unwrap()));
        assert!(line["route"].as_str().unwrap().starts_with("hivesync.v1."), "{line}");
        let fields = line["fields"].as_str();
        assert!(blamed.is_none_or(|blamed| fields.unwrap().contains(blamed)), "{line}");
    }
    let reasons = refusals.map(|(refusal, _)| refusal.reason);
    assert!(reasons.contains(&Reason::NotFound) && reasons.contains(&Reason::InvalidCredentials));
}

async fn link(ada: &Caller, repository_url: &str) -> Result<pb::Project, Status> {
    let request = pb::CreateProjectRequest {
        team_id: ada.team_id.clone(),
        name: "site".to_owned(),
        repository_url: repository_url.to_owned(),
        idempotency_key: Uuid::new_v4().to_string(),
    };
    ada.call("hivesync.v1.ProjectService/CreateProject", request).await
}

async fn show(ada: &Caller, project_id: &str) -> Result<pb::Project, Status> {
    let request = pb::GetProjectRequest { project_id: project_id.to_owned() };
    ada.call("hivesync.v1.ProjectService/GetProject", request).await
}

async fn open(ada: &Caller) -> Result<pb::ResolvePreviewResponse, Status> {
    let request = pb::ResolvePreviewRequest { token: format!("{CANARY}{}", "A".repeat(100)) };
    ada.call("hivesync.v1.PreviewService/ResolvePreview", request).await
}
