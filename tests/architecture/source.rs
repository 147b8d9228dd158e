//! Reads the Rust source of a crate: its modules, what they refer to, and how long their functions are.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{spanned::Spanned as _, visit::Visit};

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the repository").to_owned()
}

/// The tracked files that end with `extension`, from the root of the repository.
pub(crate) fn tracked(extension: &str) -> Vec<String> {
    let listed =
        Command::new("git").args(["ls-files", "-z"]).current_dir(repository()).output().expect("git runs");
    assert!(listed.status.success(), "git ls-files failed");
    let listed = String::from_utf8(listed.stdout).expect("names are UTF-8");
    listed.split_terminator('\0').filter(|name| name.ends_with(extension)).map(str::to_owned).collect()
}

/// One source file.
pub(crate) struct Module {
    /// The file, from the root of the repository.
    pub(crate) file: String,
    /// Its path in the crate, such as `domain::teams::rpc`; empty for the root.
    pub(crate) path: Vec<String>,
    /// Lines of the file.
    pub(crate) lines: usize,
    /// Every path the code refers to, outside of tests: `crate::…` made absolute and without the leading `crate`
    /// in `internal`, anything else in `external`.
    pub(crate) internal: Vec<Vec<String>>,
    /// Paths that begin with the name of another crate, or with a name that a `use` brought in.
    pub(crate) external: Vec<Vec<String>>,
    /// Whether the code is asynchronous anywhere, outside of tests.
    pub(crate) asynchronous: bool,
    /// The modules it declares.
    pub(crate) declares: Vec<String>,
    /// The modules it declares for tests only.
    pub(crate) declares_for_tests: Vec<String>,
    /// Name and length in lines of each function, outside of tests: a table of cases may be long.
    pub(crate) functions: Vec<(String, usize)>,
}

impl Module {
    /// Reads a file; `path` is its place in the crate.
    pub(crate) fn parse(file: &str, path: &[&str], text: &str) -> Self {
        let mut reader = Reader {
            scope: path.iter().map(|&segment| segment.to_owned()).collect(),
            module: Self {
                file: file.to_owned(),
                path: path.iter().map(|&segment| segment.to_owned()).collect(),
                lines: text.lines().count(),
                internal: Vec::new(),
                external: Vec::new(),
                asynchronous: false,
                declares: Vec::new(),
                declares_for_tests: Vec::new(),
                functions: Vec::new(),
            },
            in_test: false,
        };
        reader.visit_file(&syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}")));
        reader.module
    }
}

/// Reads every file below `<crate_directory>/src` that is not for tests only.
pub(crate) fn read_crate(crate_directory: &str) -> Vec<Module> {
    let source = repository().join(crate_directory).join("src");
    let mut modules: Vec<Module> = rust_files(&source)
        .iter()
        .map(|file| {
            let inside = file.strip_prefix(&source).expect("found below it").with_extension("");
            let mut path: Vec<&str> = inside.iter().map(|part| part.to_str().expect("UTF-8")).collect();
            if matches!(path.last(), Some(&("mod" | "lib" | "main"))) {
                path.pop();
            }
            let name = file.strip_prefix(repository()).expect("found below it").display().to_string();
            Module::parse(&name, &path, &fs::read_to_string(file).expect("readable"))
        })
        .collect();
    modules.sort_by(|a, b| a.file.cmp(&b.file));
    let for_tests: Vec<Vec<String>> = modules
        .iter()
        .flat_map(|module| {
            module
                .declares_for_tests
                .iter()
                .map(|name| [&module.path[..], std::slice::from_ref(name)].concat())
        })
        .collect();
    modules.retain(|module| !for_tests.iter().any(|path| module.path.starts_with(path)));
    modules
}

/// Every Rust file below a directory.
pub(crate) fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries
        .map(|entry| entry.expect("readable").path())
        .flat_map(|path| {
            if path.is_dir() {
                rust_files(&path)
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                vec![path]
            } else {
                Vec::new()
            }
        })
        .collect()
}

struct Reader {
    scope: Vec<String>,
    module: Module,
    in_test: bool,
}

impl Reader {
    fn refer(&mut self, path: Vec<String>) {
        if self.in_test || path.len() < 2 {
            return;
        }
        match path[0].as_str() {
            "crate" => self.module.internal.push(path[1..].to_vec()),
            "self" => self.module.internal.push([&self.scope, &path[1..]].concat()),
            "super" => {
                let ups = path.iter().take_while(|segment| *segment == "super").count();
                let base = &self.scope[..self.scope.len().saturating_sub(ups)];
                self.module.internal.push([base, &path[ups..]].concat());
            }
            "Self" => {}
            _ => self.module.external.push(path),
        }
    }

    fn refer_use(&mut self, tree: &syn::UseTree, mut prefix: Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.refer_use(&path.tree, prefix);
            }
            syn::UseTree::Group(group) => {
                for item in &group.items {
                    self.refer_use(item, prefix.clone());
                }
            }
            syn::UseTree::Name(name) if name.ident == "self" => self.refer_imported(prefix),
            syn::UseTree::Rename(name) if name.ident == "self" => self.refer_imported(prefix),
            syn::UseTree::Name(name) => {
                prefix.push(name.ident.to_string());
                self.refer_imported(prefix);
            }
            syn::UseTree::Rename(name) => {
                prefix.push(name.ident.to_string());
                self.refer_imported(prefix);
            }
            syn::UseTree::Glob(_) => self.refer_imported(prefix),
        }
    }

    /// `use tokio;` is a reference too, though it has one segment only.
    fn refer_imported(&mut self, path: Vec<String>) {
        if path.len() == 1 && !self.in_test && !matches!(path[0].as_str(), "crate" | "self" | "super") {
            self.module.external.push(path);
        } else {
            self.refer(path);
        }
    }

    /// What a macro was given cannot be parsed in general; paths in it are still paths.
    fn refer_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if path.is_empty() || colons == 2 => {
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Ident(ident) => {
                    self.refer(std::mem::replace(&mut path, vec![ident.to_string()]));
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    self.refer(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.refer_tokens(group.stream());
                    }
                }
            }
        }
        self.refer(path);
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        self.module.asynchronous |= signature.asyncness.is_some() && !self.in_test;
        if !self.in_test {
            let length = block.span().end().line - signature.span().start().line + 1;
            self.module.functions.push((signature.ident.to_string(), length));
        }
    }

    fn within_test(&mut self, attributes: &[syn::Attribute], visit: impl FnOnce(&mut Self)) {
        let before = self.in_test;
        self.in_test |= attributes.iter().any(is_test);
        visit(self);
        self.in_test = before;
    }
}

/// Whether an attribute marks code that exists in tests only.
fn is_test(attribute: &syn::Attribute) -> bool {
    let name = attribute.path().segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
    name == "test"
        || (name == "cfg"
            && attribute.meta.require_list().is_ok_and(|list| {
                list.tokens.clone().into_iter().next().is_some_and(|token| token.to_string() == "test")
            }))
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.within_test(&item.attrs, |reader| {
            if item.content.is_some() {
                reader.scope.push(item.ident.to_string());
                syn::visit::visit_item_mod(reader, item);
                reader.scope.pop();
            } else if reader.in_test {
                reader.module.declares_for_tests.push(item.ident.to_string());
            } else {
                reader.module.declares.push(item.ident.to_string());
            }
        });
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.within_test(&item.attrs, |reader| reader.refer_use(&item.tree, Vec::new()));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.refer(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.refer_tokens(call.tokens.clone());
        syn::visit::visit_macro(self, call);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.within_test(&item.attrs, |reader| {
            reader.function(&item.sig, &item.block);
            syn::visit::visit_item_fn(reader, item);
        });
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.within_test(&item.attrs, |reader| {
            reader.function(&item.sig, &item.block);
            syn::visit::visit_impl_item_fn(reader, item);
        });
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
        self.module.asynchronous |= item.sig.asyncness.is_some() && !self.in_test;
        syn::visit::visit_trait_item_fn(self, item);
    }

    fn visit_expr_async(&mut self, item: &'ast syn::ExprAsync) {
        self.module.asynchronous |= !self.in_test;
        syn::visit::visit_expr_async(self, item);
    }

    fn visit_expr_await(&mut self, item: &'ast syn::ExprAwait) {
        self.module.asynchronous |= !self.in_test;
        syn::visit::visit_expr_await(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.within_test(&item.attrs, |reader| syn::visit::visit_item_impl(reader, item));
    }
}
