//! A signed-in user without the client library: what an attacker with an account has.

use bytes::Bytes;
use hivesync_proto::v1::{self as pb, job_service_client::JobServiceClient};
use prost::Message;
use tonic::Status;
use uuid::Uuid;

use crate::{
    device::Device,
    wire::{Credentials, Wire},
};

/// A password that satisfies the policy.
pub const PASSWORD: &str = "Correct-Horse-7-Battery";

/// One session on one device.
pub struct Caller {
    /// The connection.
    pub wire: Wire,
    /// The address of the account.
    pub email: String,
    /// The device that signed in.
    pub device: Device,
    /// What the server gave it.
    pub tokens: pb::SessionTokens,
    /// The team that was made with the account.
    pub team_id: String,
}

impl Caller {
    /// Creates an account and signs in to it.
    pub async fn join(wire: Wire, name: &str) -> Self {
        let email = address_of(name);
        let request = pb::RegisterRequest {
            email: email.clone(),
            password: PASSWORD.to_owned(),
            display_name: name.to_owned(),
        };
        wire.call::<_, pb::RegisterResponse>(
            "hivesync.v1.AuthService/Register",
            request,
            Credentials::default(),
        )
        .await
        .expect("the account is created");
        Self::sign_in(wire, &email, Device::new()).await
    }

    /// Signs in to an account that exists, on this device.
    pub async fn sign_in(wire: Wire, email: &str, device: Device) -> Self {
        let tokens = login(&wire, email, PASSWORD, &device).await.expect("the password is right");
        let mut caller = Self { wire, email: email.to_owned(), device, tokens, team_id: String::new() };
        let me: pb::User = caller.get("hivesync.v1.UserService/GetMe", pb::GetMeRequest {}).await;
        caller.team_id = me.personal_team_id;
        caller
    }

    /// Calls `method` with the access token and a proof of the device key.
    ///
    /// # Errors
    /// The server's status.
    pub async fn call<M, R>(&self, method: &str, message: M) -> Result<R, Status>
    where
        M: Message + Send + Sync + 'static,
        R: Message + Default + Send + Sync + 'static,
    {
        let with = Credentials { access_token: Some(&self.tokens.access_token), device: Some(&self.device) };
        self.wire.call(method, message, with).await.map(tonic::Response::into_inner)
    }

    /// As [`Caller::call`], with any bytes in place of a message.
    ///
    /// # Errors
    /// The server's status.
    pub async fn call_bytes(&self, method: &str, bytes: Bytes) -> Result<Bytes, Status> {
        let with = Credentials { access_token: Some(&self.tokens.access_token), device: Some(&self.device) };
        self.wire.call_bytes(method, bytes, with).await
    }

    /// As [`Caller::call`], of something that must be answered.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn get<M, R>(&self, method: &str, message: M) -> R
    where
        M: Message + Send + Sync + 'static,
        R: Message + Default + Send + Sync + 'static,
    {
        self.call(method, message).await.unwrap_or_else(|status| panic!("{method}: {status:?}"))
    }

    /// Makes `newcomer` a member of a team that the caller may invite to.
    pub async fn enlist(&self, team_id: &str, newcomer: &Self, role: pb::TeamRole) {
        let request = pb::InviteMemberRequest {
            team_id: team_id.to_owned(),
            email: newcomer.email.clone(),
            role: role.into(),
            idempotency_key: Uuid::new_v4().to_string(),
        };
        let invitation: pb::Invitation = self.get("hivesync.v1.TeamService/InviteMember", request).await;
        let request = pb::AcceptInvitationRequest { invitation_id: invitation.id };
        let _: pb::Member = newcomer.get("hivesync.v1.TeamService/AcceptInvitation", request).await;
    }

    /// Waits for the end of a job, by watching it.
    pub async fn await_job(&self, job_id: &str) -> pb::Job {
        let request = pb::WatchJobRequest { job_id: job_id.to_owned() };
        let with = Credentials { access_token: Some(&self.tokens.access_token), device: None };
        let request = self.wire.request("hivesync.v1.JobService/WatchJob", request, with);
        let mut states = JobServiceClient::new(self.wire.channel.clone())
            .watch_job(request)
            .await
            .expect("the job can be watched")
            .into_inner();
        let mut last = None;
        while let Some(seen) = states.message().await.expect("the stream goes on to the job's end") {
            last = seen.job;
        }
        last.expect("the job was seen")
    }

    /// Sends a file of a preview, as the server says where.
    pub async fn upload(&self, preview_id: &str, content: &[u8]) {
        let request = pb::RequestUploadsRequest {
            preview_id: preview_id.to_owned(),
            sha256: vec![crate::manifest::sha256(content)],
        };
        let answer: pb::RequestUploadsResponse =
            self.get("hivesync.v1.PreviewService/RequestUploads", request).await;
        for upload in answer.uploads {
            let mut put = reqwest::Client::new().put(&upload.url).body(content.to_vec());
            for header in upload.headers {
                put = put.header(header.name, header.value);
            }
            let answer = put.send().await.expect("the object store listens");
            assert!(answer.status().is_success(), "{}", answer.status());
        }
    }

    /// Creates a project in the caller's own team, linked to `repository_url` unless that is empty.
    pub async fn project(&self, name: &str, repository_url: &str) -> pb::Project {
        let request = pb::CreateProjectRequest {
            team_id: self.team_id.clone(),
            name: name.to_owned(),
            repository_url: repository_url.to_owned(),
            idempotency_key: Uuid::new_v4().to_string(),
        };
        self.get("hivesync.v1.ProjectService/CreateProject", request).await
    }
}

/// The e-mail address of the user called `name`.
#[must_use]
pub fn address_of(name: &str) -> String {
    format!("{name}@example.com")
}

/// Signs in.
///
/// # Errors
/// The server's status.
pub async fn login(
    wire: &Wire,
    email: &str,
    password: &str,
    device: &Device,
) -> Result<pb::SessionTokens, Status> {
    let request = pb::LoginRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        device_name: "a test".to_owned(),
        platform: pb::Platform::Desktop.into(),
    };
    let with = Credentials { access_token: None, device: Some(device) };
    wire.call("hivesync.v1.AuthService/Login", request, with).await.map(tonic::Response::into_inner)
}
