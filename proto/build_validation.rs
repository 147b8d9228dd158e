//! Turns the `buf.validate` rules of the contract into one implementation of `Validate` for each message.
//!
//! A rule that cannot be enforced ends the build: an annotation that clients read and the server ignores
//! would be a lie.

use std::{error::Error, fmt::Write as _};

use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, Kind,
    MessageDescriptor, OneofDescriptor, Value,
};

const PACKAGE: &str = "hivesync.v1";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Returns the source of `validation.rs` for the messages of `hivesync.v1` in an encoded
/// `FileDescriptorSet` that still carries its `buf.validate` options.
pub(crate) fn generate(encoded: &[u8]) -> Result<String> {
    let pool = DescriptorPool::decode(encoded)?;
    let generator = Generator {
        field_rules: extension(&pool, "buf.validate.field")?,
        oneof_rules: extension(&pool, "buf.validate.oneof")?,
    };
    let mut code = String::from("// Generated from the rules in `proto/hivesync/v1`.\n");
    for message in pool.all_messages().filter(|message| message.package_name() == PACKAGE) {
        code.push_str(
            &generator.message(&message).map_err(|error| format!("{}: {error}", message.full_name()))?,
        );
    }
    Ok(code)
}

fn extension(pool: &DescriptorPool, name: &str) -> Result<ExtensionDescriptor> {
    pool.get_extension_by_name(name).ok_or_else(|| format!("the contract does not import `{name}`").into())
}

struct Generator {
    field_rules: ExtensionDescriptor,
    oneof_rules: ExtensionDescriptor,
}

impl Generator {
    fn message(&self, message: &MessageDescriptor) -> Result<String> {
        if message.parent_message().is_some() {
            return Err("nested messages are not supported; the contract keeps its messages flat".into());
        }
        let mut body = String::new();
        for field in message.fields().filter(|field| field.containing_oneof().is_none()) {
            body.push_str(&self.field(&field).map_err(|error| format!("{}: {error}", field.name()))?);
        }
        for oneof in message.oneofs() {
            body.push_str(
                &self.oneof(message, &oneof).map_err(|error| format!("{}: {error}", oneof.name()))?,
            );
        }
        let (at, found) = if body.is_empty() { ("_at", "_found") } else { ("at", "found") };
        Ok(format!(
            "impl Validate for crate::v1::{} {{\n\
             fn check(&self, {at}: &FieldPath<'_>, {found}: &mut Violations) {{\n{body}}}\n}}\n",
            message.name()
        ))
    }

    /// The checks of a field outside of any oneof.
    fn field(&self, field: &FieldDescriptor) -> Result<String> {
        let rules = Rules::read(&field.options(), &self.field_rules)?;
        if field.is_map() {
            return Err("maps are not supported".into());
        }
        let name = field.name();
        let checks = if field.is_list() {
            list_checks(field, &rules)?
        } else if matches!(field.kind(), Kind::Message(_)) {
            message_checks(field, &rules)?
        } else {
            if rules.required {
                return Err("`required` is supported on messages only".into());
            }
            let checks = value_checks(field, &rules, &format!("self.{name}"))?;
            unless_zero(&rules, &field.kind(), &format!("self.{name}"), checks)?
        };
        Ok(scope(name, &checks))
    }

    /// The checks of a oneof: that a member is set if it must be, and those of the member that is.
    fn oneof(&self, message: &MessageDescriptor, oneof: &OneofDescriptor) -> Result<String> {
        if oneof.is_synthetic() {
            return Err("scalar fields with presence are not supported".into());
        }
        let options = oneof.options();
        let mut required = false;
        if options.has_extension(&self.oneof_rules) {
            for (rule, value) in set_fields(&options.get_extension(&self.oneof_rules))? {
                match (rule.as_str(), &value) {
                    ("required", Value::Bool(value)) => required = *value,
                    _ => return Err(unsupported(&rule)),
                }
            }
        }
        let kind = format!("crate::v1::{}::{}", snake_case(message.name()), camel_case(oneof.name()));
        let mut arms = String::new();
        for field in oneof.fields() {
            let rules = Rules::read(&field.options(), &self.field_rules)?;
            if rules.required || rules.ignore_zero {
                return Err(unsupported("required or ignore on a member of a oneof"));
            }
            let checks = match field.kind() {
                Kind::Message(inner) if inner.package_name() == PACKAGE => {
                    rules.refuse_any_type()?;
                    "value.check(&at, found);\n".to_owned()
                }
                _ => value_checks(&field, &rules, "*value")?,
            };
            if !checks.is_empty() {
                let body = scope(field.name(), &checks);
                writeln!(arms, "Some({kind}::{}(value)) => {{\n{body}}}", camel_case(field.name()))?;
            }
        }
        if required {
            writeln!(arms, "None => rule::missing(&at.child({:?}), found),", oneof.name())?;
        }
        Ok(if arms.is_empty() {
            String::new()
        } else {
            let unruled = "#[allow(unreachable_patterns, reason = \"every arm may have a rule\")]\n_ => {}";
            format!("match &self.{} {{\n{arms}{unruled}\n}}\n", oneof.name())
        })
    }
}

/// The annotation of one field, taken apart.
struct Rules {
    required: bool,
    ignore_zero: bool,
    /// The member of the oneof `type` that is set, and its rules.
    of_type: Option<(String, Vec<(String, Value)>)>,
}

impl Rules {
    fn read(options: &DynamicMessage, extension: &ExtensionDescriptor) -> Result<Self> {
        let none = Self { required: false, ignore_zero: false, of_type: None };
        if options.has_extension(extension) {
            Self::from_value(&options.get_extension(extension))
        } else {
            Ok(none)
        }
    }

    fn from_value(value: &Value) -> Result<Self> {
        let mut rules = Self { required: false, ignore_zero: false, of_type: None };
        for (name, value) in set_fields(value)? {
            match (name.as_str(), &value) {
                ("required", Value::Bool(value)) => rules.required = *value,
                ("ignore", Value::EnumNumber(0)) => rules.ignore_zero = false,
                ("ignore", Value::EnumNumber(1)) => rules.ignore_zero = true,
                ("uint32" | "uint64" | "string" | "bytes" | "enum" | "repeated", Value::Message(_)) => {
                    rules.of_type = Some((name, set_fields(&value)?));
                }
                _ => return Err(unsupported(&name)),
            }
        }
        Ok(rules)
    }

    /// The rules for a value of type `expected`; an error if the annotation is for another type.
    fn of(&self, expected: &str) -> Result<&[(String, Value)]> {
        match &self.of_type {
            None => Ok(&[]),
            Some((name, rules)) if name == expected => Ok(rules),
            Some((name, _)) => Err(format!("rules for `{name}` on a field of type `{expected}`").into()),
        }
    }

    fn refuse_any_type(&self) -> Result<()> {
        self.of("message").map(|_| ())
    }
}

fn message_checks(field: &FieldDescriptor, rules: &Rules) -> Result<String> {
    let name = field.name();
    rules.refuse_any_type()?;
    let Kind::Message(inner) = field.kind() else { return Err("not a message".into()) };
    let some = if inner.package_name() == PACKAGE { "value.check(&at, found)" } else { "()" };
    Ok(match (rules.required, some) {
        (true, "()") => format!("if self.{name}.is_none() {{ rule::missing(&at, found); }}\n"),
        (true, some) => {
            format!("match &self.{name} {{ Some(value) => {some}, None => rule::missing(&at, found) }}\n")
        }
        (false, "()") => String::new(),
        (false, some) => format!("if let Some(value) = &self.{name} {{ {some}; }}\n"),
    })
}

fn list_checks(field: &FieldDescriptor, rules: &Rules) -> Result<String> {
    let name = field.name();
    if rules.required || rules.ignore_zero {
        return Err(unsupported("required or ignore on a list"));
    }
    let (mut code, mut bound) = (String::new(), String::new());
    let mut item_rules = Rules { required: false, ignore_zero: false, of_type: None };
    for (rule, value) in rules.of("repeated")? {
        match (rule.as_str(), value) {
            ("min_items", Value::U64(count)) => {
                writeln!(code, "rule::min_items(self.{name}.len(), {count}, &at, found);")?;
            }
            ("max_items", Value::U64(count)) => {
                writeln!(code, "rule::max_items(self.{name}.len(), {count}, &at, found);")?;
                bound = format!(".take({count})");
            }
            ("items", value) => item_rules = Rules::from_value(value)?,
            _ => return Err(unsupported(rule)),
        }
    }
    let checks = match field.kind() {
        Kind::Message(inner) => {
            item_rules.refuse_any_type()?;
            if inner.package_name() == PACKAGE {
                "value.check(&at, found);\n".to_owned()
            } else {
                String::new()
            }
        }
        kind => unless_zero(&item_rules, &kind, "*value", value_checks(field, &item_rules, "*value")?)?,
    };
    if item_rules.required {
        return Err(unsupported("items.required"));
    }
    if !checks.is_empty() {
        write!(
            code,
            "for (index, value) in self.{name}.iter().enumerate(){bound} {{\n\
             if found.is_full() {{ return; }}\nlet at = at.item(index);\n{checks}}}\n"
        )?;
    }
    Ok(code)
}

/// The checks of one scalar, `place` being the expression that names it.
fn value_checks(field: &FieldDescriptor, rules: &Rules, place: &str) -> Result<String> {
    match field.kind() {
        Kind::String => string_checks(field.name(), rules.of("string")?, place),
        Kind::Bytes => {
            checks(rules.of("bytes")?, "bytes", &format!("({place}).len()"), &["min_len", "max_len", "len"])
        }
        Kind::Uint32 => checks(rules.of("uint32")?, "uint", &format!("u64::from({place})"), &["gte", "lte"]),
        Kind::Uint64 => checks(rules.of("uint64")?, "uint", place, &["gte", "lte"]),
        Kind::Enum(kind) => enum_checks(&kind, rules.of("enum")?, place),
        kind => rules.of(&format!("{kind:?}")).map(|_| String::new()),
    }
}

fn string_checks(name: &str, rules: &[(String, Value)], place: &str) -> Result<String> {
    // A password is bytes that happen to be text: it is hashed, never shown or compared as a name. A branch is called
    // as its repository says, which is none of the worker's doing who reports it.
    let always = if matches!(name, "password" | "default_branch") { "no_nul" } else { "clean_text" };
    let mut code = format!("rule::{always}(&{place}, &at, found);\n");
    let mut bounds = Vec::new();
    for (rule, value) in rules {
        match (rule.as_str(), value) {
            ("email" | "uuid", Value::Bool(true)) => writeln!(code, "rule::{rule}(&{place}, &at, found);")?,
            ("email" | "uuid", Value::Bool(false)) => {}
            _ => bounds.push((rule.clone(), value.clone())),
        }
    }
    Ok(code + &checks(&bounds, "string", &format!("&{place}"), &["min_len", "max_len", "max_bytes"])?)
}

fn enum_checks(kind: &EnumDescriptor, rules: &[(String, Value)], place: &str) -> Result<String> {
    if kind.parent_message().is_some() || kind.package_name() != PACKAGE {
        return Err("only enums at the top level of the contract are supported".into());
    }
    let mut code = format!("rule::known::<crate::v1::{}>({place}, &at, found);\n", kind.name());
    for (rule, value) in rules {
        match (rule.as_str(), value) {
            // Unknown values are refused everywhere; the annotation tells clients.
            ("defined_only", Value::Bool(_)) => {}
            ("not_in", Value::List(values)) => {
                let values: Vec<i32> = values.iter().filter_map(Value::as_i32).collect();
                writeln!(code, "rule::not_in({place}, &{values:?}, &at, found);")?;
            }
            _ => return Err(unsupported(rule)),
        }
    }
    Ok(code)
}

/// One call of `rule::<family>_<rule>` for each rule, all of which must be among `supported`.
fn checks(rules: &[(String, Value)], family: &str, subject: &str, supported: &[&str]) -> Result<String> {
    let mut code = String::new();
    for (rule, value) in rules {
        let limit = match value {
            Value::U32(limit) => u64::from(*limit),
            Value::U64(limit) => *limit,
            _ => return Err(unsupported(rule)),
        };
        if !supported.contains(&rule.as_str()) {
            return Err(unsupported(rule));
        }
        writeln!(code, "rule::{family}_{rule}({subject}, {limit}, &at, found);")?;
    }
    Ok(code)
}

fn unless_zero(rules: &Rules, kind: &Kind, place: &str, checks: String) -> Result<String> {
    if !rules.ignore_zero {
        return Ok(checks);
    }
    let is_set = match kind {
        Kind::String | Kind::Bytes => format!("!{place}.is_empty()"),
        Kind::Uint32 | Kind::Uint64 | Kind::Enum(_) => format!("{place} != 0"),
        _ => return Err(unsupported("ignore on this type")),
    };
    Ok(format!("if {is_set} {{\n{checks}}}\n"))
}

fn scope(name: &str, checks: &str) -> String {
    if checks.is_empty() {
        return String::new();
    }
    format!("{{\nlet at = at.child({name:?});\n{checks}}}\n")
}

/// The fields of a message that are set, by name.
fn set_fields(value: &Value) -> Result<Vec<(String, Value)>> {
    let message = value.as_message().ok_or("an annotation is not a message")?;
    if message.unknown_fields().next().is_some() {
        return Err(
            "an annotation uses a rule that `buf/validate/validate.proto` here does not define".into()
        );
    }
    Ok(message.fields().map(|(field, value)| (field.name().to_owned(), value.clone())).collect())
}

fn unsupported(rule: &str) -> Box<dyn Error> {
    format!("the rule `{rule}` cannot be enforced; teach proto/build_validation.rs or remove it").into()
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (index, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn camel_case(name: &str) -> String {
    name.split('_')
        .map(|word| {
            let mut letters = word.chars();
            letters
                .next()
                .map(|first| first.to_ascii_uppercase())
                .into_iter()
                .chain(letters)
                .collect::<String>()
        })
        .collect()
}
