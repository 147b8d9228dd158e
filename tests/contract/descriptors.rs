//! What the contract says of itself, from the descriptor set that server and tests share.

use std::sync::LazyLock;

use hivesync_proto::DESCRIPTORS;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use prost_types::{FileDescriptorProto, FileDescriptorSet, method_options::IdempotencyLevel};

/// RPCs that may not be repeated: a second sign-in is a second session, a stream is a life of its own.
const NOT_REPEATABLE: [&str; 2] = ["hivesync.v1.AuthService/Login", "hivesync.v1.WorkerService/Session"];

/// Numbers of fields in `descriptor.proto`: services and enums of a file, methods of a service, values of an enum.
const SERVICE: i32 = 6;
const METHOD: i32 = 2;
const ENUM: i32 = 5;
const VALUE: i32 = 2;

pub(crate) fn files() -> Vec<FileDescriptorProto> {
    let files = FileDescriptorSet::decode(DESCRIPTORS).expect("a descriptor set").file;
    files.into_iter().filter(|file| file.package() == "hivesync.v1").collect()
}

/// Every RPC that some listener serves, ours and those of others, in the order of their files.
pub(crate) fn served() -> Vec<String> {
    let others = [tonic_health::pb::FILE_DESCRIPTOR_SET, tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET];
    let others = others.into_iter().flat_map(|set| FileDescriptorSet::decode(set).expect("a set").file);
    let mut served = Vec::new();
    for file in files().into_iter().chain(others) {
        for service in &file.service {
            for method in &service.method {
                served.push(format!("{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    served
}

/// The RPC called `route`, of ours.
pub(crate) fn method(route: &str) -> MethodDescriptor {
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).expect("a descriptor set"));
    let (service, method) = route.split_once('/').expect("a route");
    let service = POOL.get_service_by_name(service).expect("a service of ours");
    service.methods().find(|candidate| candidate.name() == method).expect("its method")
}

/// The request of `route` that these bytes are.
pub(crate) fn request(route: &str, bytes: &[u8]) -> DynamicMessage {
    DynamicMessage::decode(method(route).input(), bytes).expect("its request")
}

/// The answer of `route` that these bytes are.
pub(crate) fn answer(route: &str, bytes: &[u8]) -> DynamicMessage {
    DynamicMessage::decode(method(route).output(), bytes).expect("its answer")
}

/// Our RPCs, with whether they may be repeated.
pub(crate) fn levels() -> Vec<(String, IdempotencyLevel)> {
    let mut levels = Vec::new();
    for file in files() {
        for service in &file.service {
            for method in &service.method {
                let level = method.options.as_ref().map(|options| options.idempotency_level());
                let route = format!("{}.{}/{}", file.package(), service.name(), method.name());
                levels.push((route, level.unwrap_or_default()));
            }
        }
    }
    levels
}

fn comment(file: &FileDescriptorProto, path: &[i32]) -> String {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    locations
        .filter(|location| location.path == path)
        .map(|location| location.leading_comments().trim().to_owned())
        .collect()
}

/// What the contract says of a reason.
pub(crate) fn reason_comment(name: &str) -> String {
    for file in files() {
        for (e, reasons) in (0..).zip(&file.enum_type).filter(|(_, found)| found.name() == "ErrorReason") {
            let mut values = (0..).zip(&reasons.value);
            if let Some((v, _)) = values.find(|(_, value)| value.name() == name) {
                return comment(&file, &[ENUM, e, VALUE, v]);
            }
        }
    }
    panic!("the contract has no reason {name}");
}

#[test]
fn every_service_and_rpc_says_what_it_does() {
    let mut seen = 0;
    for file in files() {
        for (s, service) in (0..).zip(&file.service) {
            assert!(!comment(&file, &[SERVICE, s]).is_empty(), "{} is not documented", service.name());
            for (m, method) in (0..).zip(&service.method) {
                let text = comment(&file, &[SERVICE, s, METHOD, m]);
                assert!(!text.is_empty(), "{}/{} is not documented", service.name(), method.name());
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "only {seen} methods were found");
}

#[test]
fn every_rpc_says_whether_it_may_be_repeated() {
    let unmarked = levels().into_iter().filter(|(_, level)| *level == IdempotencyLevel::IdempotencyUnknown);
    assert_eq!(unmarked.map(|(route, _)| route).collect::<Vec<_>>(), NOT_REPEATABLE);
}

/// A list that a server does not bound is a way to exhaust it.
#[test]
fn every_list_has_pages() {
    for file in files() {
        for message in file.message_type.iter().filter(|message| message.name().starts_with("List")) {
            let wanted: &[&str] = match message.name() {
                name if name.ends_with("Request") => &["page_size", "page_token"],
                _ => &["next_page_token"],
            };
            for field in wanted {
                let there = message.field.iter().any(|candidate| candidate.name() == *field);
                assert!(there, "{} has no {field}", message.name());
            }
        }
    }
}
