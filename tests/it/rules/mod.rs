//! The rules of the house, checked by reading the source tree: what depends on what, who may name what, how long things
//! may be, and that the template and the documents say the same as the code.

mod deployment;
mod documents;
mod events;
mod permissions;
mod sources;
mod telemetry;
mod template;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A file of the tree.
struct Source {
    /// From the root, with `/` between.
    path: String,
    text: String,
}

impl Source {
    /// The text without comments, and without the unit tests at its end.
    fn code(&self) -> String {
        let (code, _tests) = self.text.split_once("\n#[cfg(test)]\nmod tests {").unwrap_or((&self.text, ""));
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.flat_map(|line| [line.split_once(" // ").map_or(line, |(code, _comment)| code), "\n"]).collect()
    }

    /// True if the path has this form: `*` is any one part of it, and what ends with `/` is everything below.
    fn is(&self, form: &str) -> bool {
        let (form, below) = form.strip_suffix('/').map_or((form, false), |folder| (folder, true));
        let (forms, parts): (Vec<&str>, Vec<&str>) = (form.split('/').collect(), self.path.split('/').collect());
        let long_enough = if below { parts.len() > forms.len() } else { parts.len() == forms.len() };
        long_enough && forms.iter().zip(&parts).all(|(form, part)| *form == "*" || form == part)
    }

    /// The last part of the path, without what follows the dot.
    fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.split('.').next().unwrap_or_default()
    }

    fn lines(&self) -> usize {
        self.text.lines().count()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Every file of the tree whose name ends so, what is built and what is hidden left out.
fn files(ending: &str) -> Vec<Source> {
    fn walk(folder: &Path, path: &str, ending: &str, found: &mut Vec<Source>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            let built = name == "target" || name == "node_modules";
            if entry.file_type().unwrap().is_dir() && !built && !name.starts_with('.') {
                walk(&entry.path(), &path, ending, found);
            } else if name.ends_with(ending) {
                found.push(Source { path, text: std::fs::read_to_string(entry.path()).unwrap() });
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), "", ending, &mut found);
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// What is deployed or run: the sources of the functions, of what they stand on, and of the local stack.
fn product() -> Vec<Source> {
    let forms = ["shared/src/", "functions/*/src/", "infra/*/src/"];
    let sources: Vec<_> = files(".rs").into_iter().filter(|source| forms.iter().any(|form| source.is(form))).collect();
    assert!(sources.len() > 50, "the tree was not found");
    without_unit_tests(sources)
}

/// The same without the files that hold a module's unit tests: each `tests.rs` that its module has in tests only.
fn without_unit_tests(sources: Vec<Source>) -> Vec<Source> {
    let declares = |source: &Source| format!("\n{}", source.text).contains("\n#[cfg(test)]\nmod tests;\n");
    let modules =
        sources.iter().filter(|source| declares(source)).map(|source| match source.path.strip_suffix("/mod.rs") {
            Some(folder) => folder.to_owned(),
            None => source.path.trim_end_matches(".rs").to_owned(),
        });
    let tests: Vec<String> = modules.map(|module| format!("{module}/tests.rs")).collect();
    sources.into_iter().filter(|source| !tests.contains(&source.path)).collect()
}

/// The names in a section of a manifest.
fn names_in(manifest: &Source, section: &str) -> Vec<String> {
    let lines = manifest.text.lines().skip_while(|line| *line != format!("[{section}]")).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.starts_with(['#', ' ', ']', '}']));
    let names = lines.map(|line| line.split(['.', ' ', '=']).next().unwrap_or_default().to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

/// `template.yaml`, with `!Ref x` and its like as `{"Ref": "x"}`.
fn template_document() -> Value {
    local::template::document(&read("template.yaml")).unwrap()
}

#[test]
fn the_rules_read_what_they_should() {
    let source = Source { path: "functions/services/src/api/send.rs".into(), text: "a // b\n// c\nd\n".into() };
    assert_eq!(source.code(), "a\nd\n");
    for form in ["functions/*/src/api/send.rs", "functions/*/src/", "functions/services/src/api/"] {
        assert!(source.is(form), "{form}");
    }
    for form in ["functions/*/src", "shared/src/", "functions/*/send.rs", "functions/services/src/api/send.rs/"] {
        assert!(!source.is(form), "{form}");
    }
    let text = "[package]\nname = \"x\"\n\n[dependencies]\n# a comment\nserde.workspace = true\nx = { path = \"y\" }\n";
    let manifest = Source { path: "Cargo.toml".into(), text: text.into() };
    assert_eq!(names_in(&manifest, "dependencies"), ["serde", "x"]);
}

#[test]
fn unit_tests_in_a_file_of_their_own_are_no_product_and_all_else_is() {
    let declared = "//! x\n#[cfg(test)]\nmod tests;\nmod other;\nfn here() {}\n";
    let tree = [
        ("functions/a/src/one.rs", declared),
        ("functions/a/src/one/tests.rs", "//! x\n"),
        ("functions/a/src/one/other.rs", "//! x\n"),
        ("functions/a/src/two/mod.rs", declared),
        ("functions/a/src/two/tests.rs", "//! x\n"),
        ("functions/a/src/two/tests/other.rs", "//! x\n"),
        // Built into the product, whatever its name is.
        ("functions/a/src/three.rs", "//! x\nmod tests;\n"),
        ("functions/a/src/three/tests.rs", "//! x\n"),
    ];
    let sources = tree.map(|(path, text)| Source { path: path.into(), text: text.into() });
    let left = without_unit_tests(sources.into());
    let paths: Vec<&str> = left.iter().map(|source| source.path.trim_start_matches("functions/a/src/")).collect();
    assert_eq!(paths, ["one.rs", "one/other.rs", "two/mod.rs", "two/tests/other.rs", "three.rs", "three/tests.rs"]);
    assert!(left[0].code().contains("fn here()"), "what follows the declaration is read");
}
