//! Everybody who may try.

use bytes::Bytes;
use hivesync_proto::{v1::TeamRole, worker_proof};
use hivesync_server::{
    app,
    base::actor::PlatformRole,
    edge::policy::{Audience, Row},
};
use hivesync_tests::{
    caller::Caller,
    device::Device,
    raw_worker::call_proof,
    wire::{Credentials, Wire, set},
    world::{WORKER_SECRET, World},
};
use tonic::Request;
use uuid::Uuid;

use crate::scene::{self, Scene};

/// Who is called what, in the order of the columns.
pub(crate) const NAMES: [&str; 11] = [
    "anonymous",
    "stranger",
    "guest",
    "member",
    "admin",
    "owner",
    "suspended",
    "revoked",
    "worker",
    "service",
    "operator",
];

/// One who calls.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// The account, if there is one, with its session.
    pub(crate) caller: Option<Caller>,
    /// The device of somebody without an account.
    device: Device,
}

impl Part {
    pub(crate) fn new(name: &'static str, caller: Option<Caller>) -> Self {
        Self { name, caller, device: Device::new() }
    }

    fn is_worker(&self) -> bool {
        self.name == "worker"
    }

    /// A call of `row` with everything that this one can show for itself.
    pub(crate) fn request(&self, wire: &Wire, row: &Row, message: Bytes) -> Request<Bytes> {
        let caller = self.caller.as_ref();
        let access_token = caller.map(|caller| caller.tokens.access_token.as_str());
        let with = Credentials {
            // What needs no sign-in takes no proof that goes along with a token.
            access_token: access_token.filter(|_| row.audience != Audience::Public),
            device: Some(caller.map_or(&self.device, |caller| &caller.device)),
        };
        let mut request = wire.request(row.route, message, with);
        if self.is_worker() {
            let proof = call_proof(wire, "cast", &Uuid::new_v4().to_string());
            let proof = proof.sign(WORKER_SECRET.as_bytes(), &format!("/{}", row.route));
            set(&mut request, worker_proof::METADATA_KEY, &proof);
        }
        request
    }
}

/// All of them.
pub(crate) struct Cast(Vec<Part>);

impl Cast {
    /// Signs everybody in, and puts those into the team of `scene` who belong there.
    pub(crate) async fn assemble(world: &World, scene: &mut Scene) -> Self {
        let base = || world.app().base().clone();
        let mut parts = vec![Part::new("anonymous", None), Part::new("worker", None)];
        parts.push(Part::new("stranger", Some(world.caller("stranger").await)));
        parts.push(Part::new("owner", Some(scene.second_sign_in_of_owner().await)));
        for (name, role) in [
            ("guest", TeamRole::Guest),
            ("member", TeamRole::Member),
            ("admin", TeamRole::Admin),
            ("suspended", TeamRole::Admin),
            ("revoked", TeamRole::Admin),
            ("service", TeamRole::Member),
        ] {
            let caller = world.caller(name).await;
            scene.enlist(&caller, role).await;
            parts.push(Part::new(name, Some(caller)));
        }
        for (name, role) in [("service", PlatformRole::Service), ("operator", PlatformRole::Admin)] {
            let caller = match parts.iter_mut().find(|part| part.name == name) {
                Some(part) => part.caller.take().expect("it has an account"),
                None => world.caller(name).await,
            };
            parts.retain(|part| part.name != name);
            app::set_role(base(), &caller.email, role).await.expect("the role is given");
            // The role stands in the next token.
            let caller = Caller::sign_in(caller.wire.clone(), &caller.email, caller.device).await;
            parts.push(Part::new(name, Some(caller)));
        }
        parts.sort_by_key(|part| NAMES.iter().position(|name| *name == part.name));
        let cast = Self(parts);
        scene.issue_tokens(&cast.0).await;
        app::suspend(base(), &cast.account("suspended").email).await.expect("suspended");
        scene::sign_out(cast.account("revoked")).await;
        cast
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.0
    }

    pub(crate) fn part(&self, name: &str) -> &Part {
        self.0.iter().find(|part| part.name == name).expect("one of the cast")
    }

    fn account(&self, name: &str) -> &Caller {
        self.part(name).caller.as_ref().expect("it has an account")
    }

    /// Those who are let in wherever anybody is.
    pub(crate) fn strongest(&self) -> [&Part; 3] {
        ["owner", "operator", "worker"].map(|name| self.part(name))
    }
}
