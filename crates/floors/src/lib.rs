//! Holds a crate to its floor plan: a module uses only those that stand below it in the plan,
//! and no modules use each other in a circle, not even inside one folder.
//!
//! The plan is a table in the documentation of the crate's root, from bottom to top: of three
//! columns, the second has the module's name as code. Modules that the root leaves out are found,
//! and so are rows without a module.
//!
//! The sources are read as text. A use is a path that begins with `crate`, `super`, `self`
//! or a child module, in a `use` or anywhere else; it leads to the file that defines what it
//! names, whatever re-exports are on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

/// `["process", "state"]`; the root is empty.
type Module = Vec<String>;

/// What one file says.
#[derive(Default)]
struct Source {
    /// Where names that it imports, or exports again, come from.
    imports: BTreeMap<String, Vec<String>>,
    /// All paths that it mentions.
    paths: BTreeSet<Vec<String>>,
}

struct Crate {
    sources: BTreeMap<Module, Source>,
    /// From bottom to top.
    plan: Vec<String>,
}

/// What is wrong in a crate, each in a line; `src` is its folder with a `lib.rs`, or a
/// `main.rs`, in it.
///
/// # Errors
///
/// If the sources cannot be read.
pub fn complaints(src: &Path) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    read(src, src, &mut files)?;
    let is_library = files.iter().any(|(name, _)| name == "lib.rs");
    // The program of a library uses it from outside.
    files.retain(|(name, _)| !(is_library && name == "main.rs"));
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    Ok(Crate::new(&files).complaints())
}

/// All sources below `dir`, by their paths below `root`.
fn read(root: &Path, dir: &Path, files: &mut Vec<(String, String)>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            read(root, &path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let parts = path.strip_prefix(root).unwrap_or(&path).iter();
            let parts: Vec<_> = parts.map(|part| part.to_string_lossy()).collect();
            files.push((parts.join("/"), fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

impl Crate {
    fn new(files: &[(&str, &str)]) -> Self {
        let modules = files.iter().map(|(name, _)| module_of(name)).collect();
        let sources = files.iter().map(|(name, text)| {
            let module = module_of(name);
            let source = Source::new(text, &module, &modules);
            (module, source)
        });
        let root = files.iter().find(|(name, _)| module_of(name).is_empty());
        Self {
            sources: sources.collect(),
            plan: root.map(|(_, text)| plan(text)).unwrap_or_default(),
        }
    }

    /// What is wrong.
    fn complaints(&self) -> Vec<String> {
        let mut complaints = self.differences_from_plan();
        let uses = self.uses();
        for (user, used) in &uses {
            for other in used {
                let (Some(from), Some(to)) = (user.first(), other.first()) else {
                    complaints.push(format!("{} uses the crate's root", user.join("::")));
                    continue;
                };
                let floor = |name| self.plan.iter().position(|other| other == name);
                if from != to && floor(to) >= floor(from) {
                    let (user, other) = (user.join("::"), other.join("::"));
                    complaints.push(format!("{user} uses {other}, which is not below it"));
                }
            }
        }
        complaints.extend(circle(&uses));
        complaints
    }

    fn differences_from_plan(&self) -> Vec<String> {
        let there = self.sources.keys().filter(|module| module.len() == 1);
        let there: BTreeSet<_> = there.map(|module| &module[0]).collect();
        let planned: BTreeSet<_> = self.plan.iter().collect();
        let gone = planned.difference(&there);
        let gone = gone.map(|name| format!("the plan has a module `{name}`, the crate has none"));
        let new = there.difference(&planned);
        gone.chain(new.map(|name| format!("the plan has no module `{name}`")))
            .collect()
    }

    /// Which modules each one uses. The root uses whatever it likes.
    fn uses(&self) -> BTreeMap<&Module, BTreeSet<Module>> {
        let modules = self.sources.iter().filter(|(module, _)| !module.is_empty());
        let used = modules.map(|(module, source)| {
            let paths = source.paths.iter().map(|path| self.resolve(path));
            (module, paths.filter(|other| other != module).collect())
        });
        used.collect()
    }

    /// The module that defines what a path from the root names.
    fn resolve(&self, path: &[String]) -> Module {
        let mut module = Module::new();
        for (at, name) in path.iter().enumerate() {
            let child = [&module[..], std::slice::from_ref(name)].concat();
            if self.sources.contains_key(&child) {
                module = child;
                continue;
            }
            let import = self.sources[&module].imports.get(name);
            // One that leads back to itself is a name that the module defines, too.
            return match import.filter(|import| import[..] != path[..=at]) {
                Some(import) => self.resolve(&[&import[..], &path[at + 1..]].concat()),
                None => module,
            };
        }
        module
    }
}

/// `process/state.rs` is `["process", "state"]`.
fn module_of(file: &str) -> Module {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    match path {
        "lib" | "main" => Module::new(),
        path => path.split('/').map(str::to_owned).collect(),
    }
}

/// The second column of the table in the root's documentation: of those that have three, the one
/// whose second column is code.
fn plan(root: &str) -> Vec<String> {
    let rows = root.lines().filter_map(|line| line.strip_prefix("//! |"));
    let rows = rows.filter(|row| row.split('|').count() == 4);
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let names = cells.filter_map(|cell| cell.split('`').nth(1));
    names.map(str::to_owned).collect()
}

/// A circle, if there is one.
fn circle(uses: &BTreeMap<&Module, BTreeSet<Module>>) -> Option<String> {
    fn visit<'a>(
        module: &'a Module,
        uses: &'a BTreeMap<&Module, BTreeSet<Module>>,
        path: &mut Vec<&'a Module>,
        done: &mut BTreeSet<&'a Module>,
    ) -> Option<String> {
        if let Some(start) = path.iter().position(|other| *other == module) {
            let names = path[start..].iter().copied().chain([module]);
            let names: Vec<_> = names.map(|module| module.join("::")).collect();
            return Some(format!("a circle: {}", names.join(" -> ")));
        }
        if !done.insert(module) {
            return None;
        }
        path.push(module);
        let used = uses.get(module).into_iter().flatten();
        let found = used
            .into_iter()
            .find_map(|other| visit(other, uses, path, done));
        path.pop();
        found
    }
    let mut done = BTreeSet::new();
    uses.keys()
        .find_map(|module| visit(module, uses, &mut Vec::new(), &mut done))
}

impl Source {
    fn new(text: &str, module: &Module, modules: &BTreeSet<Module>) -> Self {
        let tokens = tokens(text);
        let mut source = Self::default();
        // Modules inside of the file, with the depth of their braces.
        let mut inner: Vec<usize> = Vec::new();
        let mut depth = 0;
        let mut at = 0;
        while at < tokens.len() {
            let token = tokens[at].as_str();
            match token {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    inner.pop_if(|start| *start > depth);
                }
                "mod" if tokens.get(at + 2).is_some_and(|next| next == "{") => {
                    depth += 1;
                    inner.push(depth);
                    at += 2;
                }
                "use" => {
                    let end = (at..tokens.len()).find(|at| tokens[*at] == ";");
                    let end = end.unwrap_or(tokens.len());
                    let mut leaves = Vec::new();
                    leaves_of(&tokens[at + 1..end], &mut Vec::new(), &mut leaves);
                    for (path, name) in leaves {
                        if let Some(path) = absolute(&path, module, inner.len(), modules) {
                            source.imports.insert(name, path.clone());
                            source.paths.insert(path);
                        }
                    }
                    at = end;
                }
                _ if is_name(token) && (at == 0 || tokens[at - 1] != "::") => {
                    let mut path = vec![token.to_owned()];
                    while tokens.get(at + 1).is_some_and(|next| next == "::")
                        && tokens.get(at + 2).is_some_and(|next| is_name(next))
                    {
                        path.push(tokens[at + 2].clone());
                        at += 2;
                    }
                    if path.len() > 1 {
                        source
                            .paths
                            .extend(absolute(&path, module, inner.len(), modules));
                    }
                }
                _ => {}
            }
            at += 1;
        }
        source
    }
}

/// The path from the root; `None` if it leads out of the crate, or is of the file itself.
fn absolute(
    path: &[String],
    module: &Module,
    inner: usize,
    modules: &BTreeSet<Module>,
) -> Option<Vec<String>> {
    let supers = path.iter().take_while(|name| *name == "super").count();
    if supers > 0 {
        // Those that lead out of a module inside of the file do not leave the file.
        let up = supers.saturating_sub(inner);
        let base = &module[..module.len().checked_sub(up)?];
        return (up > 0).then(|| [base, &path[supers..]].concat());
    }
    match path[0].as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([&module[..], &path[1..]].concat()),
        name => {
            let child = [&module[..], &[name.to_owned()]].concat();
            modules
                .contains(&child)
                .then(|| [&module[..], path].concat())
        }
    }
}

/// The paths of a tree of imports, each with the name that it gets.
fn leaves_of(tree: &[String], prefix: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, String)>) {
    let length = prefix.len();
    let mut at = 0;
    while at < tree.len() {
        match tree[at].as_str() {
            "{" => {
                let mut depth = 0;
                let mut start = at + 1;
                for end in at..tree.len() {
                    match tree[end].as_str() {
                        "{" => depth += 1,
                        "}" => depth -= 1,
                        _ => {}
                    }
                    let ends = (tree[end] == "," && depth == 1) || depth == 0;
                    if ends {
                        if start < end {
                            leaves_of(&tree[start..end], prefix, leaves);
                        }
                        start = end + 1;
                    }
                }
                prefix.truncate(length);
                return;
            }
            "as" => {
                leaves.push((prefix.clone(), tree[at + 1].clone()));
                prefix.truncate(length);
                return;
            }
            "::" => {}
            "self" if !prefix.is_empty() => {}
            name => prefix.push(name.to_owned()),
        }
        at += 1;
    }
    leaves.push((prefix.clone(), prefix.last().cloned().unwrap_or_default()));
    prefix.truncate(length);
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::` and single characters, without comments, strings and lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            '"' => string_length(rest),
            'r' if rest.starts_with("r\"") || rest.starts_with("r#") => raw_length(rest),
            'b' if rest.starts_with("br\"") || rest.starts_with("br#") => {
                1 + raw_length(&rest[1..])
            }
            '\'' => char_length(rest),
            ':' if rest.starts_with("::") => {
                tokens.push("::".to_owned());
                2
            }
            c if c.is_alphabetic() || c == '_' => {
                let end = |c: char| !c.is_alphanumeric() && c != '_';
                let length = rest.find(end).unwrap_or(rest.len());
                tokens.push(rest[..length].to_owned());
                length
            }
            c => {
                if !c.is_whitespace() {
                    tokens.push(c.to_string());
                }
                c.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    tokens
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text[1..].find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

fn raw_length(text: &str) -> usize {
    let hashes = text[1..].len() - text[1..].trim_start_matches('#').len();
    let end = format!("\"{}", "#".repeat(hashes));
    let start = hashes + 2;
    let found = text[start..].find(&end);
    found.map_or(text.len(), |at| start + at + end.len())
}

/// Of a character, or the first quote of a lifetime.
fn char_length(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => chars
            .find(|(_, c)| *c == '\'')
            .map_or(text.len(), |(at, _)| at + 1),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_upwards_is_found_wherever_it_hides() {
        let plan = "//! | floor | module | holds |\n//! |---|---|---|\n\
                    //! | 1 | `low` | |\n//! | 2 | `high` | |\npub use high::Thing;\n";
        let check = |low| {
            let files = [
                ("lib.rs", plan),
                ("low.rs", low),
                ("high.rs", "pub struct Thing;"),
            ];
            Crate::new(&files).complaints()
        };
        assert_eq!(
            check("/* crate::high */ fn f() -> &'static str { \"crate::high\" }"),
            [""; 0]
        );
        for low in [
            "use crate::high::Thing;",
            "use crate::{Thing as Other};",
            "use super::high;",
            "fn f() { crate::high::g(); }",
            "mod tests { use super::super::high::Thing; }",
        ] {
            assert_eq!(
                check(low),
                ["low uses high, which is not below it"],
                "{low}"
            );
        }
    }

    #[test]
    fn a_circle_inside_a_folder_is_found() {
        let files = [
            ("lib.rs", "//! | 1 | `a` | |\n"),
            ("a/mod.rs", "pub use b::B;\npub struct A;"),
            ("a/b.rs", "use super::A;\npub struct B;"),
        ];
        assert_eq!(
            Crate::new(&files).complaints(),
            ["a circle: a -> a::b -> a"]
        );
        let files = [
            ("lib.rs", "//! | 1 | `a` | |\n"),
            ("a/mod.rs", "pub use b::B;\npub use c::C;"),
            ("a/b.rs", "use super::C;\npub struct B;"),
            ("a/c.rs", "pub struct C;"),
        ];
        assert_eq!(Crate::new(&files).complaints(), [""; 0]);
    }

    #[test]
    fn a_module_that_the_plan_leaves_out_is_found() {
        let files = [("lib.rs", "//! | 1 | `gone` | |\n"), ("new.rs", "")];
        assert_eq!(
            Crate::new(&files).complaints(),
            [
                "the plan has a module `gone`, the crate has none",
                "the plan has no module `new`"
            ]
        );
    }
}
