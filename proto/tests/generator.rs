//! The generator of the validation code refuses what it cannot enforce.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;

#[path = "../build_validation.rs"]
mod build_validation;

/// What the generator says to a contract with these messages.
fn generate(messages: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("contract.proto");
    let head = "syntax = \"proto3\"; package hivesync.v1; import \"buf/validate/validate.proto\";\n";
    fs::write(&file, format!("{head}{messages}")).unwrap();
    let mut compiler = protox::Compiler::new([folder.path(), env!("CARGO_MANIFEST_DIR").as_ref()]).unwrap();
    compiler.include_imports(true);
    compiler.open_file(&file).unwrap();
    build_validation::generate(&compiler.encode_file_descriptor_set()).map_err(|error| error.to_string())
}

#[test]
fn makes_code_of_every_rule_it_knows() {
    let code = generate(
        "message M {
           string a = 1 [(buf.validate.field) = {ignore: IGNORE_IF_ZERO_VALUE, string: {uuid: true}}];
           bytes b = 2 [(buf.validate.field).bytes = {min_len: 1, max_len: 2}];
           uint64 c = 3 [(buf.validate.field).uint64 = {gte: 1, lte: 2}];
           repeated string d = 4 [(buf.validate.field).repeated = {max_items: 3, items: {string: {max_len: 4}}}];
         }",
    )
    .unwrap();
    for call in [
        "if !self.a.is_empty() {",
        "rule::uuid(&self.a,",
        "rule::bytes_min_len((self.b).len(), 1,",
        "rule::bytes_max_len((self.b).len(), 2,",
        "rule::uint_gte(self.c, 1,",
        "rule::uint_lte(self.c, 2,",
        "rule::max_items(self.d.len(), 3,",
        ".take(3)",
        "rule::string_max_len(&*value, 4,",
    ] {
        assert!(code.contains(call), "{call} in {code}");
    }
}

#[test]
fn refuses_rules_that_it_cannot_enforce() {
    let unenforceable = [
        "message M { string a = 1 [(buf.validate.field).uint32.lte = 1]; }",
        "message M { uint64 a = 1 [(buf.validate.field).uint32.lte = 1]; }",
        "message M { bool a = 1 [(buf.validate.field).uint32.lte = 1]; }",
        "message M { string a = 1 [(buf.validate.field).required = true]; }",
        "message M { repeated string a = 1 [(buf.validate.field).required = true]; }",
        "message M { repeated string a = 1 [(buf.validate.field).string.max_len = 1]; }",
        "message M { N a = 1 [(buf.validate.field).string.max_len = 1]; } message N {}",
        "message M { oneof o { string a = 1 [(buf.validate.field).required = true]; } }",
        "message M { oneof o { N a = 1 [(buf.validate.field).bytes.len = 1]; } } message N {}",
        "message M { bool a = 1 [(buf.validate.field).ignore = IGNORE_IF_ZERO_VALUE]; }",
        "message M { map<string, string> a = 1; }",
        "message M { optional string a = 1; }",
        "message M { message N {} }",
        "message M { enum E { E_UNSPECIFIED = 0; } E e = 1; }",
    ];
    for messages in unenforceable {
        let error = generate(messages).expect_err(messages);
        assert!(error.starts_with("hivesync.v1.M"), "{messages}: {error}");
    }
}
