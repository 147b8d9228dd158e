//! Reads the notation in which `--help` says what `--json` prints, and holds documents against it.

use std::{collections::BTreeMap, iter::Peekable, vec::IntoIter};

use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

/// What the documents of a command look like.
#[derive(Debug)]
pub struct Documented {
    document: Shape,
    named: BTreeMap<String, Shape>,
}

#[derive(Debug)]
enum Shape {
    Object(BTreeMap<String, Shape>),
    List(Box<Shape>),
    Nullable(Box<Shape>),
    Either(Vec<Shape>),
    Exactly(String),
    Word(String),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Mark(char),
    Quoted(String),
    Word(String),
}

impl Documented {
    /// Reads the end of a command's help.
    ///
    /// # Panics
    /// If it says nothing about documents, or not in the notation.
    #[track_caller]
    pub fn read(help: &str) -> Self {
        let (_, notation) = help.split_once("With --json:").expect("the help says what --json prints");
        let notation = notation.split_once("\n  (").map_or(notation, |(shapes, _)| shapes);
        let mut tokens = tokens(notation).into_iter().peekable();
        let document = either(&mut tokens);
        let mut named = BTreeMap::new();
        while let Some(token) = tokens.next() {
            let Token::Word(name) = token else { panic!("a name is missing before {token:?}: {notation}") };
            assert_eq!(tokens.next(), Some(Token::Mark('=')), "after {name}");
            named.insert(name, either(&mut tokens));
        }
        Self { document, named }
    }

    /// Holds a document against what is said of it.
    ///
    /// # Errors
    /// Where they differ.
    pub fn check(&self, document: &Value) -> Result<(), String> {
        self.check_shape(document, &self.document, "document")
    }

    /// As [`Documented::check`], of a shape that the help names.
    ///
    /// # Errors
    /// Where they differ.
    pub fn check_named(&self, document: &Value, name: &str) -> Result<(), String> {
        self.check_shape(document, &self.named[name], name)
    }

    fn check_shape(&self, value: &Value, shape: &Shape, place: &str) -> Result<(), String> {
        let wrong = || Err(format!("{place} is {value}, which is not {shape:?}"));
        match (shape, value) {
            (Shape::Object(fields), Value::Object(found)) => {
                let expected: Vec<&String> = fields.keys().collect();
                let mut names: Vec<&String> = found.keys().collect();
                names.sort();
                if names != expected {
                    return Err(format!("{place} has the fields {names:?} and not {expected:?}"));
                }
                let mut fields = fields.iter();
                fields.try_for_each(|(name, shape)| {
                    self.check_shape(&found[name], shape, &format!("{place}.{name}"))
                })
            }
            (Shape::List(shape), Value::Array(items)) => {
                items.iter().try_for_each(|item| self.check_shape(item, shape, &format!("{place}[]")))
            }
            (Shape::Nullable(_), Value::Null) => Ok(()),
            (Shape::Nullable(shape), value) => self.check_shape(value, shape, place),
            (Shape::Either(shapes), value) => {
                if shapes.iter().any(|shape| self.check_shape(value, shape, place).is_ok()) {
                    Ok(())
                } else {
                    wrong()
                }
            }
            (Shape::Exactly(text), Value::String(found)) if text == found => Ok(()),
            (Shape::Word(word), value) => match (word.as_str(), value) {
                ("text", Value::String(_)) | ("number", Value::Number(_)) | ("bool", Value::Bool(_)) => {
                    Ok(())
                }
                ("uuid", Value::String(text)) if Uuid::try_parse(text).is_ok() => Ok(()),
                ("time", Value::String(text)) if OffsetDateTime::parse(text, &Rfc3339).is_ok() => Ok(()),
                (name, value) => match self.named.get(name) {
                    Some(shape) => self.check_shape(value, shape, place),
                    None => wrong(),
                },
            },
            _ => wrong(),
        }
    }
}

fn tokens(notation: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut letters = notation.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            letter if letter.is_whitespace() => {}
            '"' => tokens.push(Token::Quoted(letters.by_ref().take_while(|letter| *letter != '"').collect())),
            letter if letter.is_ascii_alphabetic() => {
                let mut word = String::from(letter);
                while let Some(letter) =
                    letters.next_if(|letter| letter.is_ascii_alphabetic() || *letter == '_')
                {
                    word.push(letter);
                }
                tokens.push(Token::Word(word));
            }
            mark => tokens.push(Token::Mark(mark)),
        }
    }
    tokens
}

type Tokens = Peekable<IntoIter<Token>>;

fn either(tokens: &mut Tokens) -> Shape {
    let mut shapes = vec![one(tokens)];
    while tokens.next_if_eq(&Token::Mark('|')).is_some() {
        shapes.push(one(tokens));
    }
    if shapes.len() == 1 { shapes.remove(0) } else { Shape::Either(shapes) }
}

fn one(tokens: &mut Tokens) -> Shape {
    let shape = match tokens.next() {
        Some(Token::Mark('{')) => Shape::Object(fields(tokens)),
        Some(Token::Mark('[')) => {
            let items = either(tokens);
            assert_eq!(tokens.next(), Some(Token::Mark(']')));
            Shape::List(Box::new(items))
        }
        Some(Token::Quoted(text)) => Shape::Exactly(text),
        Some(Token::Word(word)) => Shape::Word(word),
        token => panic!("{token:?} is no shape"),
    };
    match tokens.next_if_eq(&Token::Mark('?')) {
        Some(_) => Shape::Nullable(Box::new(shape)),
        None => shape,
    }
}

fn fields(tokens: &mut Tokens) -> BTreeMap<String, Shape> {
    let mut fields = BTreeMap::new();
    loop {
        let Some(Token::Quoted(name)) = tokens.next() else { panic!("a field has no name") };
        assert_eq!(tokens.next(), Some(Token::Mark(':')), "after {name}");
        fields.insert(name, either(tokens));
        match tokens.next() {
            Some(Token::Mark(',')) => {}
            Some(Token::Mark('}')) => return fields,
            token => panic!("{token:?} after a field"),
        }
    }
}

#[test]
fn a_document_that_is_not_as_documented_is_seen() {
    let documented = Documented::read(
        "With --json:\n  {\"a\": [X], \"b\": \"one\"|\"two\", \"c\": time?}\n  X = {\"id\": uuid, \"n\": number}",
    );
    let check = |text: &str| documented.check(&serde_json::from_str(text).expect("JSON"));
    let id = Uuid::nil();
    assert_eq!(check(&format!(r#"{{"a": [{{"id": "{id}", "n": 1}}], "b": "two", "c": null}}"#)), Ok(()));
    assert_eq!(check(r#"{"a": [], "b": "one", "c": "2026-01-01T00:00:00Z"}"#), Ok(()));
    for wrong in [
        r#"{"a": [], "b": "three", "c": null}"#,
        r#"{"a": [], "b": "one"}"#,
        r#"{"a": [], "b": "one", "c": null, "d": 1}"#,
        r#"{"a": null, "b": "one", "c": null}"#,
        r#"{"a": [{"id": "x", "n": 1}], "b": "one", "c": null}"#,
        r#"{"a": [], "b": "one", "c": "yesterday"}"#,
        "[]",
    ] {
        assert!(check(wrong).is_err(), "{wrong}");
    }
}
