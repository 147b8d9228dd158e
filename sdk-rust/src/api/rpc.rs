//! Every RPC the client makes: its path, its messages, and what goes along with it.

use hivesync_proto::v1 as pb;

/// What a call carries to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing.
    Public,
    /// A proof of the device's key.
    Proof,
    /// An access token.
    Token,
    /// An access token and a proof that covers it.
    TokenAndProof,
}

impl Access {
    pub(crate) fn needs_token(self) -> bool {
        matches!(self, Self::Token | Self::TokenAndProof)
    }

    pub(crate) fn needs_proof(self) -> bool {
        matches!(self, Self::Proof | Self::TokenAndProof)
    }
}

/// One RPC of the contract.
pub(crate) trait Rpc: Send + Sync + 'static {
    type Request: prost::Message + Clone + Default + 'static;
    type Response: prost::Message + Default + 'static;
    /// `/package.Service/Method`.
    const PATH: &'static str;
    const ACCESS: Access;
}

macro_rules! rpcs {
    ($($service:literal { $($name:ident $access:ident $request:ident -> $response:ident;)+ })+) => {
        $($(
            pub(crate) struct $name;

            impl Rpc for $name {
                type Request = pb::$request;
                type Response = pb::$response;
                const PATH: &'static str = concat!("/hivesync.v1.", $service, "/", stringify!($name));
                const ACCESS: Access = Access::$access;
            }
        )+)+

        /// Path, request and response of each RPC above.
        #[cfg(test)]
        const TABLE: &[(&str, &str, &str)] =
            &[$($((<$name as Rpc>::PATH, stringify!($request), stringify!($response)),)+)+];
    };
}

rpcs! {
    "AuthService" {
        Register Public RegisterRequest -> RegisterResponse;
        Login Proof LoginRequest -> SessionTokens;
        Refresh Proof RefreshRequest -> SessionTokens;
        Logout Token LogoutRequest -> LogoutResponse;
        ListSessions Token ListSessionsRequest -> ListSessionsResponse;
        RevokeSession Token RevokeSessionRequest -> RevokeSessionResponse;
        ListDevices Token ListDevicesRequest -> ListDevicesResponse;
        RevokeDevice Token RevokeDeviceRequest -> RevokeDeviceResponse;
    }
    "UserService" {
        GetMe Token GetMeRequest -> User;
        UpdateMe Token UpdateMeRequest -> User;
    }
    "TeamService" {
        CreateTeam Token CreateTeamRequest -> Team;
        GetTeam Token GetTeamRequest -> Team;
        ListTeams Token ListTeamsRequest -> ListTeamsResponse;
        ListMembers Token ListMembersRequest -> ListMembersResponse;
        InviteMember Token InviteMemberRequest -> Invitation;
        ListMyInvitations Token ListMyInvitationsRequest -> ListMyInvitationsResponse;
        AcceptInvitation Token AcceptInvitationRequest -> Member;
        SetMemberRole Token SetMemberRoleRequest -> Member;
        RemoveMember Token RemoveMemberRequest -> RemoveMemberResponse;
    }
    "ProjectService" {
        CreateProject Token CreateProjectRequest -> Project;
        GetProject Token GetProjectRequest -> Project;
        ListProjects Token ListProjectsRequest -> ListProjectsResponse;
        LinkRepository Token LinkRepositoryRequest -> Project;
        DeleteProject Token DeleteProjectRequest -> DeleteProjectResponse;
        SyncRepository Token SyncRepositoryRequest -> Job;
        ListTree Token ListTreeRequest -> ListTreeResponse;
        ReadFile Token ReadFileRequest -> ReadFileResponse;
        ListCommits Token ListCommitsRequest -> ListCommitsResponse;
    }
    "JobService" {
        GetJob Token GetJobRequest -> Job;
        ListJobs Token ListJobsRequest -> ListJobsResponse;
        WatchJob Token WatchJobRequest -> WatchJobResponse;
        CancelJob Token CancelJobRequest -> Job;
    }
    "PreviewService" {
        CreatePreview Token CreatePreviewRequest -> CreatePreviewResponse;
        FindMissing Token FindMissingRequest -> FindMissingResponse;
        RequestUploads Token RequestUploadsRequest -> RequestUploadsResponse;
        FinalizePreview Token FinalizePreviewRequest -> Preview;
        IssuePreviewToken Token IssuePreviewTokenRequest -> IssuePreviewTokenResponse;
        GetPreview Token GetPreviewRequest -> Preview;
        ListPreviews Token ListPreviewsRequest -> ListPreviewsResponse;
        RevokePreview Token RevokePreviewRequest -> Preview;
        ResolvePreview TokenAndProof ResolvePreviewRequest -> ResolvePreviewResponse;
        RequestDownloads TokenAndProof RequestDownloadsRequest -> RequestDownloadsResponse;
    }
    "NotificationService" {
        ListNotifications Token ListNotificationsRequest -> ListNotificationsResponse;
        MarkNotificationsRead Token MarkNotificationsReadRequest -> MarkNotificationsReadResponse;
        StreamNotifications Token StreamNotificationsRequest -> StreamNotificationsResponse;
    }
    "AdminService" {
        GetQueueDepth Token GetQueueDepthRequest -> GetQueueDepthResponse;
        ListWorkers Token ListWorkersRequest -> ListWorkersResponse;
    }
    "AuditService" {
        ListAuditEntries Token ListAuditEntriesRequest -> ListAuditEntriesResponse;
        VerifyAuditLog Token VerifyAuditLogRequest -> VerifyAuditLogResponse;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeMap;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::TABLE;

    #[test]
    fn the_table_is_the_contract() {
        let descriptors = FileDescriptorSet::decode(hivesync_proto::DESCRIPTORS).unwrap();
        let mut contract = BTreeMap::new();
        for file in &descriptors.file {
            for service in file.service.iter().filter(|service| service.name() != "WorkerService") {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let last = |name: &str| name.rsplit('.').next().unwrap().to_owned();
                    contract.insert(path, (last(method.input_type()), last(method.output_type())));
                }
            }
        }
        let table: BTreeMap<_, _> = TABLE
            .iter()
            .map(|(path, request, response)| (path.to_string(), (request.to_string(), response.to_string())))
            .collect();
        assert_eq!(table, contract);
    }
}
